"""Published and submitted results, and the static page made of them."""
