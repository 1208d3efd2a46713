"""The channel's state machine against a plain model: random steps over a network that delays, reorders and repeats."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings, strategies

from klaw_course.channel.state import ABANDONED, CLOSED, LEFT, OVER, Amount, Grant, Loan, State, Wish

STEPS = 50


class Client:
    """What a sender or receiver knows, and what of its messages is on the way."""

    def __init__(self, who, redeliver=True, needs_receivers=False):
        self.who, self.redeliver, self.needs_receivers = who, redeliver, needs_receivers
        self.sent, self.on_the_way, self.answers = [], [], {}  # messages; numbers; number to answer
        self.unheard = set()  # numbers of those whose answer was lost on the way
        self.arrived, self.next, self.wishes = set(), 0, {}
        self.items = self.size = 0  # credits that it has
        self.granted = [0, 0]  # credits that it was granted and that the channel has not yet back

    def known(self):
        """The number up to which it has got all answers."""
        numbers = range(len(self.sent))
        return next((n for n in numbers if n not in self.answers or n in self.unheard), len(self.sent))


class Model:
    """Follows a ``State``, and says what is wrong with it. It is plain: each item has a status, and all is counted."""

    def __init__(self, capacity, size, senders):
        self.state, self.capacity, self.size = State(capacity, size, senders), capacity, size
        self.clients, self.names, self.closed, self.had_receivers = {}, 0, False, False
        self.status, self.order, self.sizes = {}, [], {}  # item: "queued", its holder, "taken", "lost"
        self.asking = {}  # calls that are not answered: (who, number) to whether it waits
        self.to_come, self.trace, self.high = senders, [], 0

    # --- steps: each picks from what there is with the two numbers ----------------------------------------------------

    def join_sender(self, a, b):
        if sum(isinstance(c.who, str) and c.who[0] == "s" for c in self.clients.values()) < 3:
            client = self._new("s", needs_receivers=a % 4 == 0)
            self.state.join_sender(client.who, client.needs_receivers)

    def join_receiver(self, a, b):
        if len(self.clients) < 6:
            client = self._new("r", redeliver=a % 3 > 0)
            self.state.join_receiver(client.who, client.redeliver)
            self.had_receivers = True

    def _new(self, kind, **options):
        self.names += 1
        client = Client(f"{kind}{self.names}", **options)
        self.clients[client.who] = client
        return client

    def _pick(self, kind, number):
        found = [client for who, client in self.clients.items() if who[0] == kind]
        return found[number % len(found)] if found else None

    def compose(self, a, b):
        """A sender writes a message; it arrives later."""
        if client := self._pick("s", a):
            items = []
            while len(items) < b % 4 and client.items and (self.size is None or client.size >= 1 + len(items) % 2):
                item = (client.who, len(client.sent), len(items))
                self.sizes[item] = 1 + len(items) % 2
                items.append((self.sizes[item], item))
                client.items, client.size = client.items - 1, client.size - (self.size is not None) * self.sizes[item]
            back = Amount(client.items, client.size) if b & 16 else Amount()
            client.items, client.size = client.items - back.items, client.size - back.size
            need = 0 if self.size is None else min(self.size, 1 + (b >> 5) % 3)
            wish = Wish(Amount(1 + a % 3, need + a % 2), need, bool(b & 4)) if b & 8 else Wish()
            client.sent.append((client.known(), items, back, wish))
            client.on_the_way.append(len(client.sent) - 1)

    def arrive(self, a, b):
        """A message arrives: any of those on the way, or one that has arrived before."""
        if client := self._pick("s", a):
            again = sorted(n for n in client.arrived if n >= client.known())
            if b & 1 and again:
                number = again[b // 2 % len(again)]
            elif client.on_the_way:
                number = client.on_the_way.pop(b // 2 % len(client.on_the_way))
            else:
                return
            self._deliver(client, number)

    def _deliver(self, client, number):
        known, items, back, wish = client.sent[number]
        client.arrived.add(number)
        if number not in client.answers:
            self.asking.setdefault((client.who, number), wish)
        while client.next in client.arrived:
            _, accepted, returned, _ = client.sent[client.next]
            for size, item in accepted:
                self.status[item] = "queued"
                self.order.append(item)
                client.granted[0] -= 1
                client.granted[1] -= size * (self.size is not None)
            client.granted[0] -= returned.items
            client.granted[1] -= returned.size
            client.next += 1
        self.state.push(client.who, number, known, items, back, wish)

    def pull(self, a, b):
        if client := self._pick("r", a):
            number = len(client.sent)
            if client.sent and (b & 1 or number - 1 not in client.answers):
                number -= 1  # again
            else:
                client.sent.append((1 + b % 5, bool(b & 2)))
            most, wait = client.sent[number]
            if number not in client.answers:
                self.asking[client.who, number] = wait
            self.state.pull(client.who, number, most, wait)

    def settle(self, a, b):
        if client := self._pick("r", a):
            mine = [item for item in self.order if self.status[item] == client.who]
            taken = [item for place, item in enumerate(mine) if b >> place & 1]
            back = [item for place, item in enumerate(mine) if a >> 4 + place & 1 and item not in taken]
            for item in mine:
                self.status[item] = "taken" if item in taken else "queued" if item in back else client.who
            places = {item: place for place, item in enumerate(self.order)}
            strange = [
                place for place, item in enumerate(self.order) if self.status[item] not in (client.who, "queued")
            ]
            self.state.settle(client.who, [places[i] for i in taken] + strange[:2], [places[i] for i in back])

    def withdraw(self, a, b):
        if client := self._pick("sr"[a % 2], b):
            number = len(client.sent) - 1 + (b >> 6)
            client.withdrawn = max(number, getattr(client, "withdrawn", -1))
            self.state.withdraw(client.who, number)

    def leave(self, a, b):
        if client := self._pick("sr"[a % 2], b):
            died = bool(a & 2)
            del self.clients[client.who]
            for item in self.order:
                if self.status[item] == client.who:
                    self.status[item] = "queued" if client.redeliver or not died else "lost"
            if client.who[0] == "s" and self.to_come is not None:
                self.to_come -= 1
                self.closed |= self.to_come <= 0
            self.state.leave(client.who, died)
            for call in [call for call in self.asking if call[0] == client.who]:
                del self.asking[call]
            for call in [call for call in self.state.answers if call[0] == client.who]:
                answer = self.state.answers.pop(call)
                assert answer.refused == LEFT if call[0][0] == "s" else answer == Loan(ended=LEFT)
            if client.who[0] == "s":
                self.state.push(client.who, len(client.sent), 0, [(1, "late")])
                assert self.state.answers.pop((client.who, len(client.sent))).refused == LEFT

    def close(self, a, b):
        if a < 40:
            self.closed = True
            self.state.close()

    # --- what must hold after each step -------------------------------------------------------------------------------

    def look(self):
        answers, self.state.answers, new = self.state.answers, {}, []
        for (who, number), answer in sorted(answers.items(), key=lambda pair: str(pair[0])):
            client = self.clients[who]
            self.asking.pop((who, number), None)
            if number in client.answers:
                first = client.answers[number]
                if isinstance(answer, Grant):
                    assert first == answer, "a repeated call gets another answer"
                    self._hear(client, number, answer)
                else:
                    assert [e for e in first.entries if self.status[e[2]] == who] == answer.entries
                continue
            client.answers[number] = answer
            new.append(answer)
            if isinstance(answer, Grant):
                self._granted(client, number, answer)
        # Loans are looked at in the order of what is in them: those of one step follow one another.
        loans = [(a, who) for (who, _), a in answers.items() if isinstance(a, Loan) and any(a is n for n in new)]
        for loan, who in sorted(loans, key=lambda loan: loan[0].entries[:1]):
            self._lent(self.clients[who], loan)
        self._count()

    def _hear(self, client, number, grant):
        if number in client.unheard:
            client.unheard.discard(number)
            client.items, client.size = client.items + grant.amount.items, client.size + grant.amount.size

    def _granted(self, client, number, grant):
        wish = client.sent[number][3]
        abandoned = self.had_receivers and not self._pick("r", 0) and client.needs_receivers
        assert grant.refused in ("", CLOSED, ABANDONED)
        assert (grant.refused != CLOSED) or self.closed
        assert (grant.refused != ABANDONED) or abandoned
        assert grant.amount.items <= wish.most.items
        client.unheard.add(number)
        if number % 3:
            self._hear(client, number, grant)
        client.granted[0] += grant.amount.items
        client.granted[1] += grant.amount.size
        if grant.amount.items:
            assert not grant.refused and grant.amount.size >= wish.need

    def _lent(self, client, loan):
        waiting = [item for item in self.order if self.status[item] == "queued"]
        given = [item for _, _, item in loan.entries]
        assert given == waiting[: len(given)], f"{given} were lent, and first are {waiting}"
        assert all(size == self.sizes[item] for _, size, item in loan.entries)
        for item in given:
            self.status[item] = client.who
        assert loan.ended in ("", OVER)
        if loan.ended:
            assert not loan.entries and self.closed and self._free() == (self.capacity, self.size or 0)

    def _free(self):
        inside = [item for item in self.order if self.status[item] not in ("taken", "lost")]
        granted = [sum(client.granted[part] for client in self.clients.values()) for part in (0, 1)]
        size = 0 if self.size is None else self.size - granted[1] - sum(self.sizes[item] for item in inside)
        return self.capacity - granted[0] - len(inside), size

    def _count(self):
        state, queued = self.state, [item for item in self.order if self.status[item] == "queued"]
        assert tuple(state.free) == self._free() and min(self._free()) >= 0
        assert [entry[2] for entry in state.queue] == queued
        lent = {item: who for who, receiver in state.receivers.items() for _, _, item in receiver.lent.values()}
        assert lent == {item: who for item, who in self.status.items() if who not in ("queued", "taken", "lost")}
        assert len(self.order) == state.sent and state.closed == self.closed
        assert state.taken == sum(status == "taken" for status in self.status.values())
        self.high = max(self.high, state.depth())
        assert self.high <= state.high_water <= self.capacity
        self._nobody_waits_in_vain(queued)
        self._nothing_is_kept()

    def _nobody_waits_in_vain(self, queued):
        for (who, number), wish in self.asking.items():
            client = self.clients[who]
            if who[0] == "r":
                assert wish and not queued and number > getattr(client, "withdrawn", -1)
                assert not (self.closed and self._free() == (self.capacity, self.size or 0)), (
                    "nobody told it of the end"
                )
            elif number < client.next:
                assert wish.wait and not self.closed and number > getattr(client, "withdrawn", -1)
                assert not (client.needs_receivers and self.had_receivers and not self._pick("r", 0))
        waiting = [call for call in self.state.want_credits if call[0] in self.clients]
        if waiting:
            need = waiting[0][2].need
            assert not (self._free()[0] and self._free()[1] >= need), "there is room, and the first one waits"

    def _nothing_is_kept(self):
        state = self.state
        assert {*state.senders, *state.receivers} == set(self.clients)
        assert {call[0] for call in [*state.want_credits, *state.want_items]} <= set(self.clients)
        for who, sender in state.senders.items():
            client = self.clients[who]
            last = max((client.sent[n][0] for n in client.arrived), default=0)
            assert all(number >= min(last, client.known()) for number in sender.answered)
            assert len(sender.answered) + len(sender.early) <= len(client.sent)

    def drain(self):
        """All that is on the way arrives, the channel is closed, and a last receiver takes what there is."""
        for who in [who for who in self.clients if who[0] == "r"]:
            self.leave(1, [w for w in self.clients if w[0] == "r"].index(who))
            self.look()
        for client in [c for c in self.clients.values() if c.who[0] == "s"]:
            while client.on_the_way:
                self._deliver(client, client.on_the_way.pop())
                self.look()
            place = [w for w in self.clients if w[0] == "s"].index(client.who)
            self.leave(0, place)
            self.look()
        self.closed = True
        self.state.close()
        last = self._new("r")
        self.had_receivers = True
        self.state.join_receiver(last.who)
        for _ in range(self.capacity + 1):
            last.sent.append((100, True))
            self.asking[last.who, len(last.sent) - 1] = True
            self.state.pull(last.who, len(last.sent) - 1, 100)
            self.look()
            if last.answers[len(last.sent) - 1].ended:
                break
            for item in [item for item in self.order if self.status[item] == last.who]:
                self.status[item] = "taken"
                self.state.settle(last.who, [self.order.index(item)])
            self.look()
        assert last.answers[len(last.sent) - 1].ended
        assert set(self.status.values()) <= {"taken", "lost"}
        for sender in {item[0] for item in self.order}:
            mine = [item[1:] for item in self.order if item[0] == sender]
            assert mine == sorted(mine), "not in its sender's order"


ACTIONS = [Model.compose] * 4 + [Model.arrive] * 5 + [Model.pull] * 4 + [Model.settle] * 3
ACTIONS += [Model.withdraw, Model.leave, Model.join_sender, Model.join_receiver, Model.close]


@settings(max_examples=1000, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    capacity=strategies.integers(1, 6),
    size=strategies.sampled_from([None, 3, 8]),
    senders=strategies.sampled_from([None, None, 2]),
    program=strategies.binary(min_size=3 * STEPS, max_size=3 * STEPS),
)
def test_the_laws_hold_after_every_step(capacity, size, senders, program):
    model = Model(capacity, size, senders)
    model.join_sender(1, 0)
    model.join_receiver(1, 0)
    for place in range(0, len(program), 3):
        action, a, b = program[place : place + 3]
        model.trace.append(ACTIONS[action % len(ACTIONS)].__name__)
        ACTIONS[action % len(ACTIONS)](model, a, b)
        model.look()
    model.drain()
