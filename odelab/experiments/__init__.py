"""The long runs behind the tables: `python -m odelab reproduce NAME`; floor 4."""
