"""Where facts are kept: in a database, or in memory."""
