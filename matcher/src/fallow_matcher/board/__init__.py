"""The page that people look at: capacity, waiting work, waits, balances and rules; with a login, one's own work."""
