drop view posts_unified;
drop table instagram_reels;
