"""Use cases of rooms, equipment and parking: their attributes and policies, loading many of them."""
