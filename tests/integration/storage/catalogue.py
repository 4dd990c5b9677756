"""What a database's catalogue says about its schema, as lines that can be compared."""

from __future__ import annotations

from storage_plugins.postgres.database import Connection

_QUERIES = {
    "column": """
        select c.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
               pg_get_expr(d.adbin, d.adrelid), l.collname
        from pg_attribute a
        join pg_class c on c.oid = a.attrelid and c.relkind in ('r', 'p', 'v', 'c')
        left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
        left join pg_collation l on l.oid = a.attcollation
        where c.relnamespace = 'public'::regnamespace and a.attnum > 0 and not a.attisdropped
    """,
    "table": """
        select relname, relkind, reloptions from pg_class
        where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'S')
    """,
    "constraint": """
        select conrelid::regclass, conname, pg_get_constraintdef(oid) from pg_constraint
        where connamespace = 'public'::regnamespace
    """,
    "index": "select tablename, indexdef from pg_indexes where schemaname = 'public'",
    "function": """
        select p.oid::regprocedure, pg_get_functiondef(p.oid) from pg_proc p
        where p.pronamespace = 'public'::regnamespace
          and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
    """,
    "trigger": "select tgrelid::regclass, pg_get_triggerdef(oid) from pg_trigger where not tgisinternal",
    "extension": "select extname from pg_extension",
}


async def describe(connection: Connection) -> list[str]:
    """Every table, type, column, constraint, index, function and extension; the order of columns does not matter."""
    lines = []
    for kind, sql in _QUERIES.items():
        for row in await connection.fetch(sql):
            lines.append(" ".join([kind, *map(str, row)]))
    return sorted(lines)
