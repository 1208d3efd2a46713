"""``python -m klaw_course.bench``"""

import sys

from klaw_course.bench import main

sys.exit(main())
