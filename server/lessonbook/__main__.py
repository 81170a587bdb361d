"""`python -m lessonbook`."""

from lessonbook.cli import main

if __name__ == "__main__":
    main()
