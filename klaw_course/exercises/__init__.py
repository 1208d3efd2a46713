"""The checkers of the exercises, one module a lesson; ``klaw_course.check`` finds them by the exercise's id."""
