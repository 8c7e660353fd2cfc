"""The folder of one trial, in a directory or in a bucket."""
