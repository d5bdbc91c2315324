"""Tasks under tasks: an agent hands a part of its work to another one, within what it may do itself."""
