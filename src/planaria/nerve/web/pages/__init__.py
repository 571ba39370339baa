"""The pages, one file a family. Each offers `routes(site)`; `app.py` lists them."""
