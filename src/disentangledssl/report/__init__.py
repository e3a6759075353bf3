"""The page that shows a whole run: everything made, what it was made from, and how."""
