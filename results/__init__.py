"""From the store to Parquet, and from Parquet to tables and figures. Neither torch nor Ray is imported here."""
