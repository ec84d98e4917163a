"""`python -m keymiss` is the command `keymiss`."""

from keymiss.cli import main

main()
