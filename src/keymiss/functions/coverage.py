"""Which slots of a shard a worker may speak for: those whose keys it has been told of.

Words
    held      the server itself says that it holds the slot
    spoken    the worker may speak for the slot: its functions that follow written keys have been
              told of all keys in it
    arrived   the slot has come to the server, or has come back, and its keys have not been walked
    settled   the held slots and the spoken slots are the same

A slot that goes to another server stays spoken for during a grace period: until that server's
workers have seen its keys, nobody else can answer for them. When this worker itself has seen them
there, it lets the slot go at once.

The event loop changes a coverage, and searches read `state` from other threads. So each change is
one assignment of a whole `CoverageState`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from keymiss.server.topology import ALL_SLOTS, Slots, has_slot_of

GRACE_SECONDS = 10.0
"""How long a slot that has gone to another server stays spoken for."""


@dataclass(frozen=True, slots=True)
class CoverageState:
    """A coverage at one moment."""

    held: Slots = ALL_SLOTS
    spoken: Slots = 0
    settled: bool = True


class Coverage:
    """The slots of one shard; outside a cluster the server holds all slots."""

    def __init__(self) -> None:
        self.state = CoverageState()
        self._arrived: Slots = 0
        self._leaving: list[tuple[float, Slots]] = []
        """The slots that have gone, each set with the time at which it is let go; soonest first."""
        self._unwalked: Slots = 0
        self._gaining: Slots = 0
        self._followers: set[str] = set()

    def holds(self, key: str) -> bool:
        """Whether the server holds the key's slot."""
        return has_slot_of(self.state.held, key)

    def speaks_for(self, key: str) -> bool:
        """Whether the worker may speak for the key's slot."""
        return has_slot_of(self.state.spoken, key)

    @property
    def is_losing(self) -> bool:
        """Whether there are slots that have gone and are still spoken for."""
        return bool(self._leaving)

    def set_held(self, slots: Slots) -> None:
        """Records which slots the server holds, as it has just said."""
        held = self.state.held
        if slots != held:
            self._arrived |= slots & ~held
            self.state = replace(self.state, held=slots, settled=False)

    def let_go(self, now: float, covered_elsewhere: Slots) -> None:
        """Stops speaking for gone slots that are covered elsewhere, or whose grace has ended.

        Args:
            now: the time in seconds, by the clock that measures grace.
            covered_elsewhere: slots that this worker covers on the servers that hold them.
        """
        held, spoken = self.state.held, self.state.spoken
        gone = spoken & ~held
        lost = gone
        for _, slots in self._leaving:
            lost &= ~slots
        if lost:
            self._leaving.append((now + GRACE_SECONDS, lost))
        released = gone & covered_elsewhere
        while self._leaving and self._leaving[0][0] <= now:
            released |= self._leaving.pop(0)[1] & gone
        spoken &= ~released
        kept = [(end, slots & spoken) for end, slots in self._leaving]
        self._leaving = [(end, slots) for end, slots in kept if slots]
        self.state = replace(self.state, spoken=spoken)
        self._unwalked |= released | self._arrived | held & ~spoken
        self._arrived = 0

    def begin_walk(self) -> Slots:
        """The slots whose keys must be walked: those that have arrived or have been let go."""
        self._gaining = self._unwalked & self.state.held
        return self._unwalked

    def end_walk(self) -> None:
        """Records that these keys have been walked, and speaks for the slots that stayed meanwhile.
        When a slot has left, the walk has not seen all of its keys."""
        gained = self._gaining & self.state.held & ~self._arrived
        self.state = replace(self.state, spoken=self.state.spoken | gained)
        self._unwalked = 0

    def begin_first_walk(self) -> None:
        """Records that all keys of the server are about to be walked."""
        self._gaining = self.state.held

    def settle(self) -> None:
        """Records whether the held slots and the spoken slots are the same."""
        self.state = replace(self.state, settled=self.state.spoken == self.state.held)

    def follow(self, function: str) -> None:
        """Records that a function is told of written keys."""
        self._followers.add(function)

    def unfollow(self, function: str) -> None:
        """Records that a function is not told of written keys at present."""
        self._followers.discard(function)

    def is_followed_by(self, function: str) -> bool:
        """Whether a function is told of written keys."""
        return function in self._followers
