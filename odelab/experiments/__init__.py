"""The long runs behind the tables: `python -m odelab reproduce NAME`; below the lessons, which tell of its rows."""
