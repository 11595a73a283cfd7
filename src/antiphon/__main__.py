"""`python -m antiphon`: the program, where its name isn't on the path."""

from antiphon.start import main

main()
