"""Production campaigns: a declared document and a table become jobs, each row exactly once."""
