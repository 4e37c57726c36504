"""Measures other nearest-neighbor engines and vicinage with one method. See README.md."""
