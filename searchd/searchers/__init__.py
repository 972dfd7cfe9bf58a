"""One file per algorithm or vendor, and the process that hosts the searchers of all studies."""
