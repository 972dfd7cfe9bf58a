"""Looking after a store from outside: backup, restore, and what is wrong with it."""
