"""What a page is made of: sections, tables, pictures, and text that cannot harm it."""
