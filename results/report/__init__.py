"""The report of a sweep: its content (`content`) and its two forms (`html`, `markdown`)."""
