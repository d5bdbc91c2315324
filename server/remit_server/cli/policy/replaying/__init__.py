"""How a replay is told: in text, in Markdown, and as one page of HTML."""
