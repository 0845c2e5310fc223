"""The ledger of a federation as its gateway tells it: who gave, who used, and how both sides saw it."""
