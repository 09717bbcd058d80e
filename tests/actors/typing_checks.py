"""Code that the type checkers must accept, and errors that they must find. Nothing runs it.

Each ignore is a test: a checker that misses the error in its line reports the ignore as unnecessary.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, assert_type

from attrs import frozen

from actors import Context, Message, Recipe, Ref, Supervisor


class Animal:
    def eat(self) -> None: ...


class Dog(Animal):
    def bark(self) -> str:
        return "woof"


class Stone: ...


@frozen
class Feed:
    async def handle(self, actor: Animal) -> None:
        actor.eat()


@frozen
class Bark:
    times: int

    async def handle(self, actor: Dog) -> str:
        return actor.bark() * self.times


@frozen
class Wrong:
    async def handle(self, actor: Dog) -> int:
        return actor.bark()  # type: ignore[return-value]


@frozen
class Untold:
    def handle(self, actor: Dog) -> str:
        return actor.bark()


@asynccontextmanager
async def dog(_context: Context[Dog]) -> AsyncIterator[Dog]:
    yield Dog()


@asynccontextmanager
async def stone(_context: Context[Dog]) -> AsyncIterator[Stone]:
    yield Stone()


def starting(supervisor: Supervisor) -> None:
    assert_type(supervisor.start("dog", dog), Ref[Dog])
    assert_type(supervisor.get("dog"), Ref[Any] | None)
    recipe: Recipe[Dog] = dog
    assert_type(supervisor.start("dog", recipe), Ref[Dog])
    supervisor.start("dog", stone)  # type: ignore[misc]


async def asking(ref: Ref[Dog]) -> None:
    assert_type(await ref.ask(Bark(2)), str)
    assert_type(await ref.ask(Wrong()), int)
    assert_type(await ref.ask(Feed()), None)
    number: int = await ref.ask(Bark(2))  # type: ignore[arg-type]
    await ref.ask(Untold())  # type: ignore[arg-type]
    await ref.ask(Stone())  # type: ignore[arg-type]
    del number


async def telling(ref: Ref[Dog]) -> None:
    await ref.cast(Bark(2))
    ref.signal(Feed())
    await ref.cast(Stone())  # type: ignore[arg-type]
    ref.signal(Untold())  # type: ignore[arg-type]


async def the_wrong_addressee(stone: Ref[Stone], animal: Ref[Animal]) -> None:
    await stone.ask(Bark(2))  # type: ignore[arg-type]
    await animal.ask(Bark(2))  # type: ignore[arg-type]
    animal.signal(Bark(2))  # type: ignore[arg-type]


def variance(dog: Ref[Dog], animal: Ref[Animal], feed: Message[Animal, bool]) -> None:
    a_dog_is_an_animal: Ref[Animal] = dog
    who_feeds_animals_feeds_dogs: Message[Dog, int] = feed
    not_every_animal_is_a_dog: Ref[Dog] = animal  # type: ignore[assignment]
    del a_dog_is_an_animal, who_feeds_animals_feeds_dogs, not_every_animal_is_a_dog


def retiring(context: Context[Dog]) -> None:
    assert_type(context.ref, Ref[Dog])
    assert_type(context.retire(), bool)
