-- Nothing books by hand any more.
drop function if exists koyomi_book_1;
