-- Functions that migrations made, and that servers of this version and of the version before do not call.
drop function if exists koyomi_bind_shared_1;
drop function if exists koyomi_copy_collection_1;
drop function if exists koyomi_delete_object_1;
drop function if exists koyomi_put_object_1;
drop function if exists koyomi_put_object_2;
drop function if exists koyomi_put_view_1;
drop function if exists koyomi_render_1;
drop function if exists koyomi_set_object_properties_1;
drop function if exists koyomi_share_1;
drop function if exists koyomi_share_2;
drop function if exists koyomi_touch_bindings_1;
