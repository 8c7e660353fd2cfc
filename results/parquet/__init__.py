"""The two Parquet tables of a sweep: their schema, their collection from the store, their rows."""
