"""For each exercise the mistakes that people make: code, and a part of the hint that this mistake must get."""

_SQUARES = """
@ray.remote
def part(first, n, step):
    return sum(i * i for i in range(first, n, step))


check("00.3", lambda n, tasks: {answer})
"""
_STATES = """
def three_states():
    first = {first}.remote(3)
    second = nap.remote(0.1, after={after})
    third = {third}
    return first, second, third


check("01.2", three_states)
"""
_ATTEMPT = """
def attempt(function):
    with timeline.record() as run:
        ref = ray.remote({options})(function).remote()
        try:
            outcome = {outcome}
        except Exception as error:
            outcome = error
    return outcome, len(run.rows)


check("01.3", attempt)
"""

_LOAD = "json.loads(path.read_text()) if path.exists() else {}"
_SAVE = "path.with_suffix('.draft').write_text(json.dumps(self.values)); path.with_suffix('.draft').replace(path)"
_STORE = """
@ray.remote{options}
class Mine:
    def __init__(self, path):
        self.path = path
        self.values = {load}

    def put(self, key, value):
        path, self.values[key] = self.path, value
        {save}

    def get(self, key):
        return self.values[key]


check("04.3", Mine.remote)
"""

_LOOP = """
def quiet(ref):
    try:
        return ray.get(ref)
    except Exception:
        return None


def collect(function, items, window):
    pending, results = [], []
    for item in items:
        if len(pending) >= window:
            {full}
        pending.append(function.remote(item))
    {end}


check("06.2", collect)
"""
_POOL = """
def run(make_actor, numbers, budget_mb):
    waiting, working, free, answers = deque(numbers), {{}}, [], []
    while waiting or working:
        while waiting and len(working) < {workers}:
            actor = free.pop() if free else make_actor()
            working[actor.evaluate.remote(waiting.popleft())] = actor
        (done,), _ = ray.wait(list(working))
        actor, grown_mb = working.pop(done), ray.get(done)[1]
        {answer}
        if grown_mb <= budget_mb:
            free.append(actor)
    return answers


check("06.3", run)
"""

_SHELF = """
class BoundedShelf:
    def __init__(self, capacity):
        self.capacity, self.items, self.changed = capacity, deque(), asyncio.Condition()

    async def put(self, item):
        {put}

    async def get(self):
        {get}

check("08.1", BoundedShelf)
"""
_PUT = """async with self.changed:
            await self.changed.wait_for(lambda: len(self.items) < self.capacity)
            self.items.append(item)
            self.changed.notify_all()"""
_GET = """async with self.changed:
            await self.changed.wait_for(lambda: self.items)
            self.changed.notify_all()
            return self.items.popleft()"""
_REFUSING = """
class Refusing(Closable):
    async def put(self, item):
        async with self.changed:
            {body}

check("08.2", Refusing)
"""
_ROOM = "len(self.items) < self.capacity"
_REFUSE = """
            if self.closed:
                raise {error}
            self.push(item)
            self.changed.notify_all()"""
_LATEST = """
class Latest:
    def __init__(self):
        self.number, self.value, self.closed = 0, None, False
        self.changed = asyncio.Condition()

    async def put(self, value):
        async with self.changed:
            {put}
            self.changed.{wake}()

    async def get(self, seen):
        async with self.changed:
            await self.changed.wait_for(lambda: {until})
            if {end}:
                raise {error}
            {give}

    async def close(self):
        async with self.changed:
            self.closed = True
            {closing}

check("08.3", Latest)
"""
_RIGHT_LATEST = dict(
    put="self.number, self.value = self.number + 1, value",
    wake="notify_all",
    until="self.number > seen or self.closed",
    end="self.number <= seen",
    error="EOFError",
    give="return self.number, self.value",
    closing="self.changed.notify_all()",
)

_ADD_UP = """
@ray.remote(num_cpus=0)
def add_up(channel):
    {worker}

def total(channel, numbers, workers):
    adding = [add_up.remote(channel) for _ in range(workers)]
    {send}
    return {end}

check("09.1", total)
"""
_ADDS = "return sum(number or 0 for number in channel)"
_SENDS = """with channel.sender() as sender:
        for number in numbers:
            sender.send(number)
    {after}"""
_MERGE = """
@ray.remote(num_cpus=0)
def forward(source, out, close=False):
    with out.sender() as sender:
        for item in source:
            sender.send(item)
    if close:
        out.close()

@ray.remote(num_cpus=0)
def close_after(out, forwarding):
    try:
        ray.get(forwarding)
    finally:
        out.close()

@ray.remote(num_cpus=0)
def forward_all(sources, out):
    with out.sender() as sender:
        for source in sources:
            for item in source:
                sender.send(item)
    out.close()

@ray.remote(num_cpus=0)
def shuffle(source, out):
    held = []
    with out.sender() as sender:
        for item in source:
            held.append(item)
            if len(held) == 2:
                sender.send(held.pop())
                sender.send(held.pop())

@ray.remote(num_cpus=0)
def twice(source, out):
    with out.sender() as sender:
        for item in source:
            sender.send(item)
            sender.send(item)

def fan_in(sources):
    out = Channel(capacity=16)
    {body}

check("09.3", fan_in)
"""

_SHIP = """
def ship_all(orders, ship):
    receiver = orders.receiver({mode})
    {before}
    for order in {orders}:
        {loop}
    {after}

check("09.2", ship_all)
"""
_SHIPS = dict(mode="manual=True", before="pass", orders="receiver", loop="ship(order); receiver.ack()", after="pass")

_CONNECT = """
@ray.remote(num_cpus=0, enable_tensor_transport=True)
class MyMaker:
    {maker}
    def make(self, count):
        return torch.ones(count)


@ray.remote(num_cpus=0, enable_tensor_transport=True)
class MyTaker:
    {taker}
    def total(self, tensor):
        return float(tensor.sum())


def connect():
    maker, taker = MyMaker.remote(), MyTaker.remote()
    {group}
    return {pair}


check("10.1", connect)
"""
_GLOO = '@ray.method(tensor_transport="gloo")'
_GROUP = 'create_collective_group([maker, taker], backend="gloo")'

_TRAINER = """
@ray.remote(num_cpus=0)
class MyTrainer:
    def __init__(self):
        self.weights = torch.zeros(2**18)

    def step(self):
        {wait}
        self.weights += 1

    {how}
    def share(self):
        return self.weights


def my_train(trainer, reader, rounds):
    means, shared = [], []
    for _ in range(rounds):
        trainer.step.remote()
        shared = [*{keep}, trainer.share.remote()]
        means.append(reader.mean.remote(shared[-1]))
    return {result}


check("10.2", (MyTrainer, {train}))
"""

_PRODUCER = """
@ray.remote(num_cpus=0)
class MyProducer:
    def __init__(self, fill, count):
        self.fill, self.count = fill, count
        self.buffers = [torch.zeros(count) for _ in range({buffers})]

    {how}
    def produce(self, number):
        buffer = {buffer}
        {wait}
        self.fill(buffer, number)
        return {result}


def my_stream(producer, consumer, rounds):
    {stream}


check("10.3", (MyProducer, my_stream))
"""
_STREAM = "return ray.get([consumer.use.remote(producer.produce.remote(n)) for n in range(rounds)])"
_DOUBLE = dict(
    buffers=2,
    how=_GLOO,
    buffer="self.buffers[number % len(self.buffers)]",
    wait="ray.experimental.wait_tensor_freed(buffer)",
    result="buffer",
    stream=_STREAM,
)
_TRAIN = dict(
    wait="ray.experimental.wait_tensor_freed(self.weights)",
    how=_GLOO,
    keep="[]",
    result="ray.get(means)",
    train="my_train",
)

_FOR_EACH = """
def for_each(function, value, items):
    {body}


check("02.1", for_each)
"""
_LOAD_BLOCKS = """
@ray.remote
def read_all(names):
    return {inside}


def load(names):
    return {outside}


check("02.2", load)
"""
_SHELF_OF_ARRAYS = """
class Shelf:
    def __init__(self):
        self.kept = {{}}
        self.values = {{}}

    def add(self, name, array):
        {add}

    def read(self, name):
        return {read}

    def peek(self, name, count):
        return self.read(name)[:count]{copy}

    def drop(self, name):
        {drop}


check("02.3", Shelf)
"""
_RIGHT_SHELF = dict(
    add="self.kept[name] = ray.put(array)", read="ray.get(self.kept[name])", copy=".copy()", drop="del self.kept[name]"
)

_OUTCOME = """
def outcome(ref):
    try:
        return "value", {value}
    {excepts}

check("11.1", outcome)
"""
_TOLD = """except ray.exceptions.RayTaskError as error:
        return "error", error.cause
    except ray.exceptions.RayError as error:
        return "death", error"""
_PIECES = """
@ray.remote
def cut(array, parts):
    return {cut}

def pieces(array, parts):
    return {give}

check("11.2", pieces)
"""
_SPLIT = "np.array_split(array, parts)"
_RUN = """
def run(actors, items):
    alive, results, missing = list(actors), {{}}, list(range(len(items)))
    while missing:
        chosen = {{n: alive[{which}] for n in missing}}
        calls = {{n: {call} for n in missing}}
        missing = []
        for n, call in calls.items():
            try:
                results[n] = {result}
            except {error}:
                {lost}
    return {give}

check("11.3", run)
"""
_POOLED = dict(
    which="n % len(alive)",
    call="chosen[n].work.remote(items[n])",
    result="ray.get(call)",
    error="ray.exceptions.RayActorError",
    lost="missing.append(n)\n                alive = [one for one in alive if one != chosen[n]]",
    give="[results[n] for n in range(len(items))]",
)

_BATCHES = """
def play_in_batches(game, steps, batch):
    {body}


check("12.1", play_in_batches)
"""
_HOTTEST = """
from collections import Counter


def hottest(stacks):
    counts = Counter()
    for stack, samples in stacks.items():
        {count}
    {end}


check("12.2", hottest)
"""
_BANDS = """
@ray.remote
class MyBand:
    def __init__(self, step, rows):
        self.step, self.rows = step, rows

    def advance(self, above, below):
        wide = np.vstack([above, self.rows, below])
        self.rows = self.step(wide)[1:-1]
        return self.rows[0], self.rows[-1]

    def read(self):
        return self.rows


def play(step, grid, steps, bands):
    parts = {cut}
    actors = [MyBand.remote(step, part) for part in parts]
    edges = [(part[0], part[-1]) for part in parts]
    for _ in range(steps):
        refs = []
        for n, actor in enumerate(actors):
            {before}
            refs.append({call})
        edges = {wait}
    {end}


check("12.3", play)
"""
_WHOLE_BANDS = """
@ray.remote
class MyRows:
    def play(self, step, wide):
        return step(wide)[1:-1]


def play(step, grid, steps, bands):
    actors = [MyRows.remote() for _ in range(bands)]
    for _ in range(steps):
        whole = np.vstack([grid[-1:], grid, grid[:1]])
        cuts = np.array_split(np.arange(len(grid)), bands)
        refs = [actor.play.remote(step, whole[rows[0] : rows[-1] + 3]) for actor, rows in zip(actors, cuts)]
        grid = np.concatenate(ray.get(refs))
    return grid


check("12.3", play)
"""
_RIGHT_BANDS = dict(
    cut="np.array_split(grid, bands)",
    before="pass",
    call="actor.advance.remote(edges[n - 1][1], edges[(n + 1) % bands][0])",
    wait="ray.get(refs)",
    end="return np.concatenate(ray.get([actor.read.remote() for actor in actors]))",
)

WRONG = {
    "00.1": [
        (
            '@ray.remote\ndef runs_in(pid=os.getpid()):\n    return pid\n\n\ncheck("00.1", runs_in)',
            "still the id of this notebook",
        ),
        (
            'pid = os.getpid()\n\n\n@ray.remote\ndef runs_in():\n    return pid\n\n\ncheck("00.1", runs_in)',
            "still the id of this notebook",
        ),
        ('def runs_in():\n    return os.getpid()\n\n\ncheck("00.1", runs_in)', "write @ray.remote above"),
        ('check("00.1", ray.remote(whose).remote())', "give the function, not its call"),
        ('@ray.remote\ndef runs_in():\n    os.getpid()\n\n\ncheck("00.1", runs_in)', "forget the return"),
        ('check("00.1", ray.remote(lambda: os.getppid()))', "no worker of this cluster"),
    ],
    "00.2": [
        ('check("00.2", {"address": "auto", "num_cpus": 1})', "looks at RAY_ADDRESS"),
        ('check("00.2", {"address": None, "num_cpus": 1})', "looks at RAY_ADDRESS"),
        ('check("00.2", {"num_cpus": 1})', "looks at RAY_ADDRESS"),
        ('check("00.2", {"address": here.address, "num_cpus": 1})', "joins the cluster at that place"),
        ('check("00.2", {"address": "localhost", "num_cpus": 1})', "nothing that ray.init knows"),
        ('check("00.2", {"address": "local"})', "every CPU of the machine"),
        ('check("00.2", {"address": "local", "num_cpus": "1"})', "a whole number"),
        ('check("00.2", {"address": "local", "num_cpus": 2})', "exactly one is wanted"),
        ('check("00.2", {"address": "local", "cpus": 1})', "no argument called"),
        ('check("00.2", "local")', "a dictionary is wanted"),
    ],
    "00.3": [
        ('check("00.3", lambda n, tasks: sum(i * i for i in range(n)))', "no task ran"),
        (
            "square = ray.remote(lambda i: i * i)\n"
            'check("00.3", lambda n, tasks: sum(ray.get([square.remote(i) for i in range(n)])))',
            "1004 tasks",
        ),
        (_SQUARES.format(answer="[part.remote(k, n, tasks) for k in range(tasks)]"), "returned references"),
        (_SQUARES.format(answer="ray.get([part.remote(k, n, tasks) for k in range(tasks)])"), "one whole number"),
        (
            _SQUARES.format(answer="sum(ray.get(part.remote(k, n, tasks)) for k in range(tasks))"),
            "one task after the other",
        ),
        (_SQUARES.format(answer="ray.get(part.remote(0, n, 1))"), "ran 1 tasks; 3 are wanted"),
        (_SQUARES.format(answer="print(part.remote(0, n, 1))"), "forget the return"),
        (
            "@ray.remote\ndef chunk(first, size):\n    return sum(i * i for i in range(first, first + size))\n\n\n"
            "def total(n, tasks):\n    size = n // tasks\n"
            "    return sum(ray.get([chunk.remote(k * size, size) for k in range(tasks)]))\n\n\n"
            'check("00.3", total)',
            "leaves the last 2 numbers out",
        ),
    ],
    "01.1": [
        ('check("01.1", lambda durations: [ray.get(nap.remote(s)) for s in durations])', "one nap at a time"),
        ('check("01.1", lambda durations: [nap.remote(s) for s in durations])', "it returned references"),
        ('check("01.1", lambda durations: sorted(ray.get([nap.remote(s) for s in durations])))', "not in their order"),
        ('check("01.1", lambda durations: [time.sleep(s) or s for s in durations])', "no task ran"),
        (
            "def take_naps(durations):\n    ray.get([nap.remote(s) for s in durations])\n\n\ncheck('01.1', take_naps)",
            "forget the return",
        ),
        ('check("01.1", lambda d: ray.get([nap.options(num_cpus=0).remote(s) for s in d]))', "leave nap as it is"),
        (
            "def take_naps(durations):\n"
            "    refs, values = [nap.remote(s) for s in durations], []\n"
            "    while refs:\n"
            "        (done, *_), refs = ray.wait(refs)\n"
            "        values.append(ray.get(done))\n"
            "    return values\n\n\ncheck('01.1', take_naps)",
            "not in their order",
        ),
    ],
    "01.2": [
        (_STATES.format(first="nap", after="first", third="nap.remote(0.1)"), "hold every CPU"),
        (
            _STATES.format(first="nap.options(num_cpus=2)", after="ray.get(first)", third="nap.remote(0.1)"),
            "do not wait for it",
        ),
        (
            _STATES.format(first="nap.options(num_cpus=2)", after="None", third="nap.remote(0.1)"),
            "the first's reference",
        ),
        (
            _STATES.format(first="nap.options(num_cpus=2)", after="first", third="nap.remote(0.1, first)"),
            "nothing but a CPU",
        ),
        (
            _STATES.format(first="nap.options(num_cpus=2)", after="first", third="nap.options(num_cpus=3).remote(0.1)"),
            "more CPUs than the cluster has",
        ),
        ('check("01.2", lambda: [nap.remote(0.1)])', "a tuple of three references"),
    ],
    "01.3": [
        (_ATTEMPT.format(options="max_retries=2", outcome="ray.get(ref)"), "got one attempt"),
        (_ATTEMPT.format(options="max_retries=2, retry_exceptions=True", outcome="ray.get(ref)"), "a KeyError got 3"),
        (
            _ATTEMPT.format(options="max_retries=3, retry_exceptions=[ConnectionError]", outcome="ray.get(ref)"),
            "those after the first",
        ),
        (
            _ATTEMPT.format(options="max_retries=2, retry_exceptions=[ConnectionError]", outcome="ref"),
            "the first part is a reference",
        ),
        (
            "def attempt(function):\n"
            "    with timeline.record() as run:\n"
            "        value = ray.get(ray.remote(function).remote())\n"
            "    return value, len(run.rows)\n\n\ncheck('01.3', attempt)",
            "catch the exception",
        ),
        ("check('01.3', lambda function: (function(), 1))", "ran in your notebook"),
        ("check('01.3', lambda function: ray.get(ray.remote(function).remote()))", "(outcome, attempts) is wanted"),
    ],
    "02.1": [
        (
            _FOR_EACH.format(body="return ray.get([function.remote(value, item) for item in items])"),
            "serialised 5 times",
        ),
        (
            _FOR_EACH.format(body="return ray.get([function.remote(ray.put(value), item) for item in items])"),
            "ray.put called, inside the loop",
        ),
        (
            _FOR_EACH.format(
                body="stored = ray.put(value)\n    return [function.remote(stored, item) for item in items]"
            ),
            "a ray.get is missing",
        ),
        (
            _FOR_EACH.format(
                body="stored = [ray.put(value)]\n    return ray.get([function.remote(stored, item) for item in items])"
            ),
            "does not look for references",
        ),
        (
            _FOR_EACH.format(body="stored = ray.put(value)\n    function.remote(stored, items[0])"),
            "did you forget the return?",
        ),
        (
            _FOR_EACH.format(
                body="stored = ray.put(value)\n"
                "    return sorted(ray.get([function.remote(stored, item) for item in items]))"
            ),
            "not in the order",
        ),
    ],
    "02.2": [
        (
            _LOAD_BLOCKS.format(
                inside="[read_block.remote(name) for name in names]", outside="ray.get(read_all.remote(names))"
            ),
            "3 of 3 blocks are owned by another process",
        ),
        (
            _LOAD_BLOCKS.format(
                inside="[ray.put(np.full(MIB, len(name), dtype=np.uint8)) for name in names]",
                outside="ray.get(read_all.remote(names))",
            ),
            "owned by another process",
        ),
        (
            _LOAD_BLOCKS.format(inside="None", outside="ray.get([read_block.remote(name) for name in names])"),
            "the list holds ndarray, a value",
        ),
        (
            _LOAD_BLOCKS.format(
                inside="ray.get([read_block.remote(name) for name in names])", outside="read_all.remote(names)"
            ),
            "one reference",
        ),
        (
            _LOAD_BLOCKS.format(
                inside="[read_block.remote(name) for name in names]",
                outside="[ray.put(ref) for ref in ray.get(read_all.remote(names))]",
            ),
            "could not be used",
        ),
    ],
    "02.3": [
        (
            _SHELF_OF_ARRAYS.format(
                **{**_RIGHT_SHELF, "add": "self.kept[name] = array", "read": "self.kept[name]"},
            ),
            "not in the object store",
        ),
        (
            _SHELF_OF_ARRAYS.format(
                **{**_RIGHT_SHELF, "add": "self.kept[name], self.values[name] = ray.put(array), ray.put(array)"}
            ),
            "should be there once",
        ),
        (_SHELF_OF_ARRAYS.format(**{**_RIGHT_SHELF, "copy": ""}), "what peek returned kept the array"),
        (
            _SHELF_OF_ARRAYS.format(**{**_RIGHT_SHELF, "read": "ray.get(self.kept[name]).copy()"}),
            "read copied the array",
        ),
        (_SHELF_OF_ARRAYS.format(**{**_RIGHT_SHELF, "drop": "pass"}), "LOCAL_REFERENCE"),
        (
            _SHELF_OF_ARRAYS.format(
                **{**_RIGHT_SHELF, "read": "self.values.setdefault(name, ray.get(self.kept[name]))"},
            ),
            "PINNED_IN_MEMORY",
        ),
        ("class Shelf:\n    pass\n\n\ncheck('02.3', Shelf)", "it has the methods add"),
    ],
    "03.1": [
        ('check("03.1", half_naps)', "four on head"),
        ('check("03.1", nap.options(scheduling_strategy="SPREAD"))', "half a CPU each"),
        (
            'check("03.1", nap.options(num_cpus=0.5, label_selector={"zone": "in(a,b)"}))',
            "two on each of three nodes",
        ),
        (
            'check("03.1", nap.options(num_cpus=0.5, scheduling_strategy=OnNode(here.nodes["head"], soft=False)))',
            "all six on head",
        ),
        ('check("03.1", [nap.remote() for _ in range(6)])', "a remote function is wanted"),
    ],
    "03.2": [
        ('check("03.2", nap)', "still on a"),
        ('check("03.2", nap.options(scheduling_strategy=OnNode(here.nodes["b"], soft=False)))', "so is a node"),
        ('check("03.2", nap.options(label_selector={"zone": "b"}))', "so is a node"),
        ('check("03.2", nap.options(label_selector={"zone": "a"}))', "still on a"),
    ],
    "03.3": [
        (
            "def gang():\n"
            "    group = placement_group([{'CPU': 2}] * 3, strategy='SPREAD')\n"
            "    ray.get(group.ready())\n"
            "    return group, [nap.options(scheduling_strategy=InGroup(group, i)).remote(1.0) for i in range(3)]\n\n"
            "\ncheck('03.3', gang)",
            "be strict",
        ),
        (
            "def gang():\n"
            "    group = placement_group([{'CPU': 1}] * 3, strategy='STRICT_SPREAD')\n"
            "    ray.get(group.ready())\n"
            "    return group, [nap.options(scheduling_strategy=InGroup(group, i)).remote(1.0) for i in range(3)]\n\n"
            "\ncheck('03.3', gang)",
            "one in reserve",
        ),
        (
            "def gang():\n"
            "    group = placement_group([{'CPU': 2}] * 3, strategy='STRICT_SPREAD')\n"
            "    ray.get(group.ready())\n"
            "    return group, [nap.options(scheduling_strategy=InGroup(group, 0)).remote(1.0) for i in range(3)]\n\n"
            "\ncheck('03.3', gang)",
            "give each its bundle index",
        ),
        (
            "def gang():\n"
            "    group = placement_group([{'CPU': 2}] * 4, strategy='STRICT_SPREAD')\n"
            "    return group, [nap.options(scheduling_strategy=InGroup(group, i)).remote(1.0) for i in range(3)]\n\n"
            "\ncheck('03.3', gang)",
            "the group is PENDING",
        ),
        (
            "def gang():\n"
            "    return [nap.options(scheduling_strategy='SPREAD').remote(1.0) for i in range(3)]\n\n"
            "\ncheck('03.3', gang)",
            "a tuple (group, refs)",
        ),
        ("check('03.3', lambda: (1, 2))", "the placement group is wanted"),
    ],
    "04.1": [
        ('check("04.1", Fetcher.remote())', "takes one call at a time"),
        ('check("04.1", Fetcher.options(max_concurrency=4).remote())', "4 at once"),
        ('check("04.1", Fetcher.options(max_concurrency=10))', "an actor is wanted"),
        ('check("04.1", Fetcher)', "that is a class still"),
        ('check("04.1", [Fetcher.options(num_cpus=0).remote() for _ in range(2)])', "one is enough"),
    ],
    "04.2": [
        (
            'named = dict(name="counter", namespace="shop", lifetime="detached")\n'
            'check("04.2", lambda: Total.options(**named).remote())',
            "the second call failed",
        ),
        ('check("04.2", lambda: Total.remote())', "not the same actor"),
        (
            'check("04.2", lambda: Total.options(name="counter", namespace="shop", get_if_exists=True).remote())',
            "ends with the driver",
        ),
        (
            'named = dict(name="counter", lifetime="detached", get_if_exists=True)\n'
            'check("04.2", lambda: Total.options(**named).remote())',
            "its namespace is",
        ),
        (
            'named = dict(name="count", namespace="shop", lifetime="detached", get_if_exists=True)\n'
            'check("04.2", lambda: Total.options(**named).remote())',
            "its name is 'count'",
        ),
        ('check("04.2", lambda: Total)', "an actor is wanted"),
    ],
    "04.3": [
        (_STORE.format(options="", load="{}", save="pass"), "there is no file"),
        (_STORE.format(options="", load=_LOAD, save=_SAVE), "did not come back"),
        (_STORE.format(options="(max_restarts=-1)", load=_LOAD, save=_SAVE), "the call was not sent again"),
        (
            _STORE.format(options="(max_restarts=-1, max_task_retries=-1)", load="{}", save=_SAVE),
            "was lost when the actor was killed",
        ),
        (
            _STORE.format(
                options="(max_restarts=-1, max_task_retries=-1)",
                load=_LOAD,
                save="self.path.write_text(json.dumps(self.values))",
            ),
            "written in place",
        ),
    ],
    "06.1": [
        ('check("06.1", Evaluator.remote([]))', "it leaks"),
        ('check("06.1", Evaluator.remote(deque()))', "it leaks"),
        ('check("06.1", Evaluator.remote())', "it keeps no array"),
        ('check("06.1", Evaluator.remote(deque(maxlen=3)))', "it keeps 3 arrays"),
        ('check("06.1", Evaluator.remote(deque(maxlen=8)))', "it keeps 8 arrays"),
        ('check("06.1", Evaluator)', "that is a class still"),
        ('check("06.1", deque(maxlen=4))', "an actor is wanted"),
    ],
    "06.2": [
        (
            _LOOP.format(full="_, pending = ray.wait(pending)", end="return ray.get(pending)"),
            "8 results of 40 items",
        ),
        (
            _LOOP.format(
                full="done, pending = ray.wait(pending); results += ray.get(done)",
                end="return results + ray.get(pending)",
            ),
            "in the order in which they ended",
        ),
        (_LOOP.format(full="pass", end="return ray.get(pending)"), "40 calls were in flight"),
        (_LOOP.format(full="pass", end="return pending"), "these are references"),
        (_LOOP.format(full="pass", end="ray.get(pending)"), "forget the return"),
        ('check("06.2", lambda f, items, window: [ray.get(f.remote(i)) for i in items])', "one call at a time"),
        (
            _LOOP.format(
                full="results.append(quiet(pending.pop(0)))", end="return results + list(map(quiet, pending))"
            ),
            "nobody heard of it",
        ),
        ('check("06.2", lambda f, items, window: [f.remote(items[n]) for n in range(len(items))])', "TypeError"),
    ],
    "06.3": [
        (
            "def run(make_actor, numbers, budget_mb):\n"
            "    actors = [make_actor(), make_actor()]\n"
            "    return ray.get([actors[n % 2].evaluate.remote(n) for n in numbers])\n\n"
            'check("06.3", run)',
            "after it had said that it is over",
        ),
        (
            "def run(make_actor, numbers, budget_mb):\n"
            "    return [ray.get(make_actor().evaluate.remote(n)) for n in numbers]\n\n"
            'check("06.3", run)',
            "the 11th actor",
        ),
        (_POOL.format(workers=1, answer="answers.append(ray.get(done))"), "one call at a time"),
        (_POOL.format(workers=2, answer="answers[:] = [ray.get(done)]"), "1 of 20 numbers"),
        ('check("06.3", lambda make_actor, numbers, budget_mb: print(make_actor()))', "forget the return"),
    ],
    "08.1": [
        ('check("08.1", Box)', "BoundedShelf(2) cannot be made"),
        (_SHELF.format(put="self.items.append(item)", get="return self.items.popleft()"), "get raised"),
        (_SHELF.format(put=_PUT, get="return self.items.popleft() if self.items else None"), "came back at once"),
        (_SHELF.format(put=_PUT.replace("self.changed.notify_all()", "pass"), get=_GET), "not woken by a put"),
        (_SHELF.format(put=_PUT, get=_GET.replace("self.changed.notify_all()", "pass")), "not woken by a get"),
        (_SHELF.format(put=_PUT.replace("< self", "<= self"), get=_GET), "more than two items"),
        (_SHELF.format(put=_PUT.replace("< self.capacity", "< self.capacity - 1"), get=_GET), "put number 2 waits"),
        (_SHELF.format(put=_PUT, get=_GET.replace("popleft", "pop")), "1 and 2 were put first"),
        (
            _SHELF.format(
                put=_PUT,
                get="while not self.items: await asyncio.sleep(0.01)\n        " + _GET,
            ),
            "looks again and again",
        ),
        ('check("08.1", ray.remote(Unbounded).remote())', "an actor already"),
    ],
    "08.2": [
        ('check("08.2", Closable)', "when the channel was closed still waits"),
        (
            _REFUSING.format(
                body=f"await self.changed.wait_for(lambda: {_ROOM})" + _REFUSE.format(error="ValueError('closed')")
            ),
            "when the channel was closed still waits",
        ),
        (
            _REFUSING.format(
                body=f"await self.changed.wait_for(lambda: self.closed or {_ROOM})"
                + _REFUSE.format(error="EOFError('closed')")
            ),
            "raised EOFError: closed; ValueError is wanted",
        ),
        (
            _REFUSING.format(
                body=f"await self.changed.wait_for(lambda: self.closed or {_ROOM})"
                + _REFUSE.format(error="ValueError('closed')").replace("self.closed", f"not {_ROOM}")
            ),
            "a closed channel that has room was accepted",
        ),
        (
            _REFUSING.format(
                body=f"await self.changed.wait_for(lambda: self.closed or {_ROOM})" + "\n            self.push(item)"
            ),
            "when the channel was closed was accepted",
        ),
        (
            _REFUSING.format(
                body=f"await self.changed.wait_for(lambda: self.closed or {_ROOM})"
                + _REFUSE.format(error="ValueError('closed')").replace("raise", "self.items.clear(); raise")
            ),
            "'two' was accepted before close",
        ),
        (_REFUSING.format(body="self.push(item); self.changed.notify_all()"), "a second item was accepted"),
        ('check("08.2", Closable(1))', "a class is wanted"),
    ],
    "08.3": [
        ('check("08.3", Waiting)', "Latest() cannot be made"),
        (_LATEST.format(**{**_RIGHT_LATEST, "until": "True", "end": "False"}), "came back before the first put"),
        (_LATEST.format(**{**_RIGHT_LATEST, "wake": "notify"}), "a get(1) that waited still waits"),
        (
            _LATEST.format(**{**_RIGHT_LATEST, "until": "self.value is not None", "end": "False"}),
            "nothing is newer than number 1",
        ),
        (
            _LATEST.format(
                **{
                    **_RIGHT_LATEST,
                    "give": "number, self.number = self.number, 0\n            return number, self.value",
                }
            ),
            "get takes nothing away",
        ),
        (_LATEST.format(**{**_RIGHT_LATEST, "give": "return self.value"}), "(1, 'a') is wanted"),
        (
            _LATEST.format(
                **{
                    **_RIGHT_LATEST,
                    "put": "await self.changed.wait_for(lambda: self.value is None)\n"
                    "            self.number, self.value = self.number + 1, value",
                }
            ),
            "put never waits",
        ),
        (
            _LATEST.format(
                **{**_RIGHT_LATEST, "put": "self.number, self.value = self.number + 1, value or self.value"}
            ),
            "(2, None) is wanted",
        ),
        (_LATEST.format(**{**_RIGHT_LATEST, "closing": "pass"}), "when the stream was closed still waits"),
        (_LATEST.format(**{**_RIGHT_LATEST, "end": "self.closed"}), "which has not seen number 5, raised EOFError"),
        (
            _LATEST.format(**_RIGHT_LATEST).replace(
                "await self.changed.wait_for(lambda: self.number > seen or self.closed)",
                "pass\n        while not (self.number > seen or self.closed): await asyncio.sleep(0.01)\n"
                "        async with self.changed:",
            ),
            "looks again and again",
        ),
    ],
    "09.1": [
        (
            _ADD_UP.format(worker=_ADDS, send=_SENDS.format(after="pass"), end="sum(ray.get(adding))"),
            "has not come back",
        ),
        (
            _ADD_UP.format(worker=_ADDS, send=_SENDS.format(after="sender.send(None)"), end="sum(ray.get(adding))"),
            "EndClosed: This sender is closed",
        ),
        (
            _ADD_UP.format(
                worker="return sum(channel)", send=_SENDS.format(after="channel.close()"), end="sum(ray.get(adding))"
            ),
            "a worker raised",
        ),
        (_ADD_UP.format(worker=_ADDS, send=_SENDS.format(after="channel.close()"), end="None"), "forget the return"),
        (_ADD_UP.format(worker=_ADDS, send=_SENDS.format(after="channel.close()"), end="adding[0]"), "a reference"),
        (
            _ADD_UP.format(worker=_ADDS, send=_SENDS.format(after="channel.close()"), end="ray.get(adding[0])"),
            "it gave",
        ),
        ('check("09.1", lambda channel, numbers: sum(numbers))', "TypeError"),
    ],
    "09.2": [
        (_SHIP.format(**_SHIPS | {"loop": "receiver.ack(); ship(order)"}), "acknowledged already"),
        (_SHIP.format(**_SHIPS | {"loop": "ship(order)"}), "they came again: [0, 1]"),
        (_SHIP.format(**_SHIPS | {"orders": "[]"}), "returned before all orders"),
        (_SHIP.format(**_SHIPS | {"loop": "order == 4 or ship(order); receiver.ack()"}), "never shipped: [4]"),
        (_SHIP.format(**_SHIPS | {"loop": "ship(order); ack()"}), "a worker raised NameError"),
    ],
    "09.3": [
        (_MERGE.format(body="forward_all.remote(sources, out); return out"), "while source 0 is silent"),
        (_MERGE.format(body="[forward.remote(s, out) for s in sources]; return out"), "it does not end"),
        (_MERGE.format(body="return sources[0]"), "one of the sources"),
        (_MERGE.format(body="[forward.remote(s, out, True) for s in sources]; return out"), "one of two sources"),
        (
            _MERGE.format(body="close_after.remote(out, [shuffle.remote(s, out) for s in sources]); return out"),
            "not in its order",
        ),
        (
            _MERGE.format(body="close_after.remote(out, [twice.remote(s, out) for s in sources]); return out"),
            "different ones",
        ),
        (
            _MERGE.format(body="close_after.remote(out, [forward.remote(s, out) for s in sources])"),
            "a Channel is wanted",
        ),
        (
            _MERGE.format(body="ray.get([forward.remote(s, out) for s in sources]); return out"),
            "has not come back after 2 s",
        ),
    ],
    "10.1": [
        (_CONNECT.format(maker="", taker="", group=_GROUP, pair="maker, taker"), "in the object store"),
        (_CONNECT.format(maker="", taker=_GLOO, group=_GROUP, pair="maker, taker"), "in the object store"),
        (_CONNECT.format(maker=_GLOO, taker="", group="pass", pair="maker, taker"), "in no collective group"),
        (
            _CONNECT.format(
                maker=_GLOO,
                taker="",
                group='create_collective_group([maker, MyTaker.remote()], backend="gloo")',
                pair="maker, taker",
            ),
            "not in the same collective group",
        ),
        (_CONNECT.format(maker=_GLOO, taker="", group=_GROUP, pair="MyMaker, MyTaker"), "not classes"),
        (_CONNECT.format(maker=_GLOO, taker="", group=_GROUP, pair="maker"), "two actors"),
        (
            _CONNECT.format(maker=_GLOO, taker="", group=_GROUP, pair="maker, taker").replace("sum()", "mean()"),
            "total gave 1.0",
        ),
        (
            _CONNECT.format(maker=_GLOO, taker="", group=_GROUP, pair="maker, taker").replace(
                "enable_tensor_transport=True)\nclass MyTaker", ")\nclass MyTaker"
            ),
            "can taker receive",
        ),
    ],
    "10.2": [
        ('check("10.2", (Trainer, train))', "the means of the first steps"),
        (_TRAINER.format(**_TRAIN | {"keep": "shared"}), "has not come back"),
        (_TRAINER.format(**_TRAIN | {"wait": "pass"}), "the means of the first steps"),
        (_TRAINER.format(**_TRAIN | {"wait": "__import__('time').sleep(0.05)"}), "the means of the first steps"),
        (_TRAINER.format(**_TRAIN | {"how": ""}), "through the object store"),
        (_TRAINER.format(**_TRAIN | {"result": "means[-1]"}), "12 means are wanted"),
        (_TRAINER.format(**_TRAIN | {"wait": "wait_tensor_freed(self.weights)"}), "gave [0.0"),
        ('check("10.2", train)', "a tuple"),
    ],
    "10.3": [
        (_PRODUCER.format(**_DOUBLE | {"wait": "pass"}), "numbers are wrong"),
        (_PRODUCER.format(**_DOUBLE | {"buffers": 1}), "times of 9"),
        (_PRODUCER.format(**_DOUBLE | {"buffers": 3}), "3 different tensors"),
        (_PRODUCER.format(**_DOUBLE | {"buffer": "torch.zeros(self.count).double()"}), "float32"),
        (_PRODUCER.format(**_DOUBLE | {"buffer": "torch.zeros(self.count)"}), "different tensors"),
        (_PRODUCER.format(**_DOUBLE | {"wait": "pass", "result": "buffer.clone()"}), "returns a copy"),
        (_PRODUCER.format(**_DOUBLE | {"wait": "pass", "how": ""}), "through the object store"),
        (
            _PRODUCER.format(
                **_DOUBLE
                | {
                    "stream": "kept = [producer.produce.remote(n) for n in range(rounds)]\n"
                    "    return ray.get([consumer.use.remote(one) for one in kept])"
                }
            ),
            "has not come back",
        ),
        (
            _PRODUCER.format(
                **_DOUBLE
                | {"stream": "return [ray.get(consumer.use.remote(producer.produce.remote(n))) for n in range(rounds)]"}
            ),
            "times of 9",
        ),
        (
            _PRODUCER.format(**_DOUBLE | {"stream": "return ray.get(consumer.use.remote(producer.produce.remote(0)))"}),
            "30 numbers are wanted",
        ),
        ('check("10.3", (Trainer, train))', "could not be used"),
    ],
    "11.1": [
        ('check("11.1", "outcome")', "a function is wanted"),
        (_OUTCOME.format(value="ref", excepts=_TOLD), "the second part is ObjectRef"),
        (
            _OUTCOME.format(
                value="ray.get(ref)", excepts="except ray.exceptions.RayTaskError as e:\n        return 'error', e"
            ),
            "its .cause is what was raised",
        ),
        (
            _OUTCOME.format(
                value="ray.get(ref)", excepts="except ray.exceptions.RayError as e:\n        return 'death', e"
            ),
            "for a task that raised a KeyError the first part is 'death'",
        ),
        (
            _OUTCOME.format(value="ray.get(ref)", excepts=_TOLD.replace("RayError", "WorkerCrashedError")),
            "for a call whose actor died while it ran a ActorDiedError came out",
        ),
        (
            _OUTCOME.format(value="ray.get(ref)", excepts=_TOLD.replace("RayTaskError", "WorkerCrashedError")),
            "for a task that raised a KeyError the first part is 'death'",
        ),
        (
            _OUTCOME.format(value="ray.get(ref)", excepts=_TOLD.replace('"death", error', '"death", None')),
            "give the error",
        ),
    ],
    "11.2": [
        ('check("11.2", 3)', "a function is wanted"),
        (
            _PIECES.format(cut=f"[ray.put(part) for part in {_SPLIT}]", give="ray.get(cut.remote(array, parts))"),
            "3 of 3 parts are owned by another process",
        ),
        (_PIECES.format(cut=_SPLIT, give="cut.remote(array, parts)"), "it returned one reference"),
        (_PIECES.format(cut=_SPLIT, give="ray.get(cut.remote(array, parts))"), "which is a value"),
        (_PIECES.format(cut=_SPLIT, give=f"[ray.put(part) for part in {_SPLIT}]"), "no task ran"),
        (
            _PIECES.format(
                cut=f"[ray.put(part) for part in {_SPLIT}]",
                give="cut.options(num_returns=parts).remote(array, parts)",
            ),
            "a reference leads to a ObjectRef",
        ),
        (
            _PIECES.format(cut=f"{_SPLIT}[::-1]", give="cut.options(num_returns=parts).remote(array, parts)"),
            "are they in their order",
        ),
        (_PIECES.format(cut="array", give="[cut.remote(array, parts)] * parts"), "numbers; np.array_split makes"),
    ],
    "11.3": [
        ('check("11.3", None)', "a function is wanted"),
        (
            'check("11.3", lambda actors, items: ray.get([actors[n % len(actors)].work.remote(item)'
            " for n, item in enumerate(items)]))",
            "ActorDiedError came out of it while one of three actors dies",
        ),
        (_RUN.format(**_POOLED | {"which": "0"}), "only the actor a worked"),
        (_RUN.format(**_POOLED | {"lost": "pass", "give": "list(results.values())"}), "results came for 6 items"),
        (_RUN.format(**_POOLED | {"lost": "results[n] = None"}), "one of three actors died, and for"),
        (_RUN.format(**_POOLED | {"result": "call"}), "it returned references"),
        (
            _RUN.format(**_POOLED | {"call": "ray.wait([one := chosen[n].work.remote(items[n])]) and one"}),
            "one call at a time",
        ),
        (
            _RUN.format(
                **_POOLED | {"lost": "missing, alive = list(range(len(items))), alive[:1]\n                break"}
            ),
            "items that had their result ran again",
        ),
    ],
    "12.1": [
        (
            _BATCHES.format(
                body="for _ in range(int(steps / batch)):\n        grid = ray.get(game.play.remote(batch))\n"
                "    return grid"
            ),
            "the last ones are missing",
        ),
        (
            _BATCHES.format(
                body="for _ in range(-(-steps // batch)):\n        grid = ray.get(game.play.remote(batch))\n"
                "    return grid"
            ),
            "plays too many",
        ),
        (_BATCHES.format(body="return ray.get(game.play.remote(steps))"), "10 steps in one of them"),
        (
            _BATCHES.format(body="return [ray.get(game.play.remote(1)) for _ in range(steps)][-1]"),
            "3 calls are enough",
        ),
        (
            _BATCHES.format(
                body="for _ in range(steps // batch):\n        ray.get(game.play.remote(batch))\n"
                "    return ray.get(game.play.remote(steps % batch))"
            ),
            "play(0) was called",
        ),
        (
            _BATCHES.format(
                body="for done in range(0, steps, batch):\n        ray.get(game.play.remote(min(batch, steps - done)))"
            ),
            "forget the return",
        ),
        (
            _BATCHES.format(
                body="for done in range(0, steps, batch):\n        grid = game.play.remote(min(batch, steps - done))\n"
                "    return grid"
            ),
            "a reference",
        ),
    ],
    "12.2": [
        (
            _HOTTEST.format(
                count="counts.update(dict.fromkeys(stack, samples))", end="return counts.most_common(1)[0][0]"
            ),
            "seldom running itself",
        ),
        (
            _HOTTEST.format(count="counts[stack[0]] += samples", end="return counts.most_common(1)[0][0]"),
            "seldom running itself",
        ),
        (_HOTTEST.format(count="counts[stack[-1]] = samples", end="return max(counts, key=counts.get)"), "ends two"),
        (_HOTTEST.format(count="pass", end="return max(stacks, key=stacks.get)[-1]"), "ends two"),
        (
            _HOTTEST.format(
                count="counts[stack[-1]] += samples * (len(stack) > 1)", end="return counts.most_common(1)[0][0]"
            ),
            "'play' is running itself",
        ),
        (
            _HOTTEST.format(count="counts[stack[-1]] += samples", end="return counts.most_common(1)[0]"),
            "the name of the function alone",
        ),
        (_HOTTEST.format(count="counts[stack[-1]] += samples", end="counts.most_common(1)"), "forget the return"),
    ],
    "12.3": [
        (_BANDS.format(**_RIGHT_BANDS | {"before": "edges = list(edges)", "wait": "edges"}), "these rows are wrong"),
        (
            _BANDS.format(
                **_RIGHT_BANDS
                | {"call": "actor.advance.remote(edges[max(n - 1, 0)][1], edges[min(n + 1, bands - 1)][0])"}
            ),
            "Look at the edges",
        ),
        (
            _BANDS.format(
                **_RIGHT_BANDS | {"before": "actor = actors[n] = MyBand.remote(step, ray.get(actor.read.remote()))"}
            ),
            "they must stay",
        ),
        (
            _BANDS.format(
                **_RIGHT_BANDS
                | {
                    "call": f"ray.get({_RIGHT_BANDS['call']})",
                    "wait": "refs",
                }
            ),
            "one band after another",
        ),
        (
            _BANDS.format(
                **_RIGHT_BANDS | {"cut": "[grid[n * (len(grid) // bands):][:len(grid) // bands] for n in range(bands)]"}
            ),
            "comes back as (10, 9)",
        ),
        (
            _BANDS.format(**_RIGHT_BANDS | {"end": "return ray.get([actor.read.remote() for actor in actors])"}),
            "an array is wanted, and this is a list",
        ),
        (_WHOLE_BANDS, "whole bands came back 6 times in 3 steps"),
        (_BANDS.format(**_RIGHT_BANDS | {"end": "pass"}), "forget the return"),
        (
            "def play(step, grid, steps, bands):\n    for _ in range(steps):\n        grid = step(grid)\n"
            "    return grid\n\n\ncheck('12.3', play)",
            "creates no actor",
        ),
    ],
}
