-- A deleted collection is restored whole, or not at all.

-- Whether members of a deleted collection have been forgotten, or are about to be: it cannot be restored any more.
alter table collection add column members_forgotten boolean not null default false;

-- Of collections that were deleted long ago, members were forgotten without counting.
with stored as (
    select c.home_id, c.id, count(o.id) as members, coalesce(sum(o.size), 0) as bytes
    from collection c
    left join object o on o.home_id = c.home_id and o.collection_id = c.id and o.deleted_revision is null
    where c.deleted_at is not null group by c.home_id, c.id
)
update collection c set members_forgotten = true, member_count = s.members, used_bytes = s.bytes
from stored s
where c.home_id = s.home_id and c.id = s.id and (c.member_count, c.used_bytes) <> (s.members, s.bytes);

-- As koyomi_restore_collection_1, of a collection that was deleted at most p_restore_days ago and has all its members.
create function koyomi_restore_collection_2(
    p_home_id bigint, p_collection_id bigint, p_name text, p_restore_days integer,
    p_principal_id bigint, p_origin text, p_request_id text
) returns bigint language plpgsql as $$
begin
    -- The home comes first in the order of locks. The lock of the collection makes the job that forgets members wait.
    perform 1 from home h where h.id = p_home_id for no key update;
    perform 1 from collection c
    where c.home_id = p_home_id and c.id = p_collection_id and not c.members_forgotten
      and c.deleted_at >= clock_timestamp() - make_interval(days => p_restore_days)
    for no key update;
    if not found then
        raise exception using errcode = 'KY002', message = 'collection is gone';
    end if;
    return koyomi_restore_collection_1(
        p_home_id, p_collection_id, p_name, p_principal_id, p_origin, p_request_id
    );
end $$;
