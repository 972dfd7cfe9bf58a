"""Whether the search is better than others': each benchmark has its peers in the same run, and paired statistics."""
