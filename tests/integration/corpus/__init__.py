"""Calendar and card files of other projects, and the reviewed list of what of them is refused."""
