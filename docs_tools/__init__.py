"""What builds and checks the documentation: Markdown extensions, macros of pages, notebooks, the reader of links."""
