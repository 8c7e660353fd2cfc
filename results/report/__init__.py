"""The report of a sweep: what it says (`content`, `trial_list`), and its two forms (`html`, `markdown`)."""
