"""What ``make lab`` and ``make reset LESSON=03`` run: ``python -m klaw_course.notebook fill``, or ``... reset 03``."""

import sys

from klaw_course.notebook.copies import fill, reset

USAGE = "Run: python -m klaw_course.notebook fill, or: python -m klaw_course.notebook reset 03"


def main(argv: list[str]) -> int:
    """Do what the command line says; 0 if it was done, 1 if it could not be, 2 if the command is not known."""
    try:
        if argv == ["fill"]:
            print(fill())
        elif argv[:1] == ["reset"] and len(argv) <= 2:
            print(reset("".join(argv[1:])))
        else:
            print(f"{' '.join(argv) or 'Nothing'} is no command. {USAGE}", file=sys.stderr)
            return 2
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
