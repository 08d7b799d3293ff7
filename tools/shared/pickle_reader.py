# SPDX-License-Identifier: MIT
"""Reads a pickle without running anything it contains.

Python's own unpickler calls whatever the pickle names. This one knows the few callables of tensors and
dictionaries; every other object becomes an Opaque, which only knows the name it was made of. It takes time
and memory proportional to the pickle's length: nothing is hashed but simple keys, nothing is traversed, and
lengths are compared with the bytes that are there.
"""

import struct

MOST_OPERATIONS = 2_000_000


class PickleError(ValueError):
    """A pickle that cannot be read; the message gives the reason alone."""


class Opaque:
    """An object of a kind that is not read."""

    __slots__ = ("name",)

    def __init__(self, name):
        self.name = name


class Global:
    """A module's member that the pickle names."""

    __slots__ = ("name",)

    def __init__(self, name):
        self.name = name


class Dictionary(dict):
    """A dictionary by its simple keys; `repeated` is a key that was set twice, else None."""

    __slots__ = ("repeated",)

    def __init__(self):
        self.repeated = None

    def put(self, key, value):
        if not isinstance(key, (str, int, float, bool, type(None))):
            return
        if key in self:
            self.repeated = key
        self[key] = value


class Storage:
    __slots__ = ("kind", "key", "count")

    def __init__(self, kind, key, count):
        self.kind, self.key, self.count = kind, key, count


class TensorRecord:
    """A view of a storage; none of its values has been checked."""

    __slots__ = ("storage", "offset", "shape", "strides")

    def __init__(self, storage, offset, shape, strides):
        self.storage, self.offset, self.shape, self.strides = storage, offset, shape, strides


DICTIONARIES = {"collections.OrderedDict", "collections.defaultdict", "builtins.dict", "__builtin__.dict"}
TENSORS = {"torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2"}
PARAMETERS = {"torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"}
WITH_ATTRIBUTES = "torch._tensor._rebuild_from_type_v2"  # (function, type, arguments, attributes)


class Mark:
    __slots__ = ()


MARK = Mark()


class Reader:
    """Reads pickles that lie one after the other in `data`, from `position` on."""

    def __init__(self, data, position=0):
        self.data, self.position = data, position
        self.operations = 0
        self.storages = {}  # by their keys, of all pickles read so far

    def load(self):
        """The value of the next pickle. Raises PickleError."""
        self.stack, self.memo = [], {}
        try:
            while True:
                self.operations += 1
                if self.operations > MOST_OPERATIONS:
                    raise PickleError(f"has more than {MOST_OPERATIONS:,} operations")
                operation = OPERATIONS.get(self.take(1)[0])
                if operation is None:
                    raise PickleError(f"has an unknown operation at byte {self.position - 1}")
                if operation is STOP:
                    value = self.pop()
                    if self.stack:
                        raise PickleError("ends with values that belong to nothing")
                    return value
                operation(self)
        except (IndexError, KeyError, TypeError, ValueError, struct.error, OverflowError) as error:
            if isinstance(error, PickleError):
                raise
            raise PickleError(f"is malformed at byte {self.position}") from error

    def take(self, count):
        """The next `count` bytes."""
        end = self.position + count
        if end > len(self.data):
            raise PickleError("ends too early")
        part = self.data[self.position:end]
        self.position = end
        return part

    def number(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self):
        end = self.data.index(b"\n", self.position)
        return self.take(end + 1 - self.position)[:-1].decode()

    def push(self, value):
        self.stack.append(value)

    def pop(self):
        value = self.stack.pop()
        if value is MARK:
            raise PickleError("takes a value where there is none")
        return value

    def pop_to_mark(self):
        """The values above the last mark, which goes as well."""
        values = []
        while (value := self.stack.pop()) is not MARK:
            values.append(value)
        values.reverse()
        return values

    def top(self):
        value = self.stack[-1]
        if value is MARK:
            raise PickleError("alters a value where there is none")
        return value


# ------------------------------------------------------------------------------------------ objects

def call(function, arguments):
    """What a call of `function` would give, without calling anything."""
    if not isinstance(function, Global) or not isinstance(arguments, tuple):
        return Opaque(function.name if isinstance(function, (Global, Opaque)) else "something that is no function")
    name = function.name
    if name == WITH_ATTRIBUTES and len(arguments) >= 3:
        return call(arguments[0], arguments[2]) if arguments[0] is not function else Opaque(name)
    if name in DICTIONARIES:
        made = Dictionary()
        if arguments and isinstance(arguments[0], (list, tuple)):  # pairs, as Python 2 wrote them
            for pair in arguments[0]:
                if isinstance(pair, (list, tuple)) and len(pair) == 2:
                    made.put(*pair)
        return made
    if name in TENSORS and len(arguments) >= 4:
        return TensorRecord(*arguments[:4])
    if name in PARAMETERS and arguments and isinstance(arguments[0], TensorRecord):
        return arguments[0]
    return Opaque(name)


def reduce(reader):
    arguments, function = reader.pop(), reader.pop()
    reader.push(call(function, arguments))


def instance(reader):
    name = f"{reader.line()}.{reader.line()}"
    arguments = tuple(reader.pop_to_mark())
    reader.push(call(Global(name), arguments))


def object_of_class(reader):
    function, *arguments = reader.pop_to_mark()
    reader.push(call(function, tuple(arguments)))


def new_object_with_keywords(reader):
    reader.pop()
    reduce(reader)


def build(reader):
    reader.pop()
    if isinstance(reader.top(), (TensorRecord, Storage, Global)):
        raise PickleError("tries to alter a tensor")


def persistent(reader):
    identity = reader.pop()
    if not isinstance(identity, tuple) or len(identity) < 5 or identity[0] != "storage":
        raise PickleError("has an unknown persistent object")
    kind, key, count = identity[1], identity[2], identity[4]
    if not isinstance(kind, Global) or not isinstance(key, str) or (len(identity) > 5 and identity[5] is not None):
        raise PickleError("has an unknown persistent object")
    storage = reader.storages.setdefault(key, Storage(kind.name.rpartition(".")[2], key, count))
    reader.push(storage)


def named(reader):
    reader.push(Global(f"{reader.line()}.{reader.line()}"))


def named_on_stack(reader):
    member, module = reader.pop(), reader.pop()
    if not isinstance(member, str) or not isinstance(module, str):
        raise PickleError("names an object by something that is no text")
    reader.push(Global(f"{module}.{member}"))


def refused(what):
    def operation(_):
        raise PickleError(what)
    return operation


# --------------------------------------------------------------------------------------- containers

def set_item(reader):
    value, key = reader.pop(), reader.pop()
    fill(reader.top(), [key, value])


def set_items(reader):
    values = reader.pop_to_mark()
    fill(reader.top(), values)


def fill(target, values):
    if isinstance(target, Opaque):
        return
    if not isinstance(target, Dictionary) or len(values) % 2:
        raise PickleError("sets an item of something that is no dictionary")
    for key, value in zip(values[::2], values[1::2]):
        target.put(key, value)


def append(reader):
    value = reader.pop()
    extend(reader.top(), [value])


def appends(reader):
    values = reader.pop_to_mark()
    extend(reader.top(), values)


def extend(target, values):
    if isinstance(target, (Opaque, Dictionary)):
        return
    if not isinstance(target, list):
        raise PickleError("appends to something that is no list")
    target.extend(values)


def dictionary(reader):
    values = reader.pop_to_mark()
    made = Dictionary()
    fill(made, values)
    reader.push(made)


def last(count):
    def operation(reader):
        values = [reader.pop() for _ in range(count)]
        reader.push(tuple(reversed(values)))
    return operation


def marked(make):
    return lambda reader: reader.push(make(reader.pop_to_mark()))


def new(make):
    return lambda reader: reader.push(make())


def opaque(name):
    return lambda _=None: Opaque(name)


# ------------------------------------------------------------------------------------ numbers, text

def integer(text):
    if text in ("00", "01"):  # how protocol 0 writes booleans
        return text == "01"
    return int(text) if len(text) <= 40 else Opaque("a long integer")


def long_integer(form):
    def operation(reader):
        digits = reader.take(length(reader, form))
        reader.push(int.from_bytes(digits, "little", signed=True) if len(digits) <= 16 else Opaque("a long integer"))
    return operation


def length(reader, form):
    count = reader.number(form)
    if count < 0:
        raise PickleError("has a negative length")
    return count


def counted(form, make):
    return lambda reader: reader.push(make(reader.take(length(reader, form))))


def text_of(part):
    return part.decode("utf-8", "surrogatepass")


def number(form):
    return lambda reader: reader.push(reader.number(form))


def line_of(make):
    return lambda reader: reader.push(make(reader.line()))


def put(key):
    def operation(reader):
        reader.memo[key(reader)] = reader.top()
    return operation


def get(key):
    return lambda reader: reader.push(reader.memo[key(reader)])


def constant(value):
    return lambda reader: reader.push(value)


def by(form):
    return lambda reader: reader.number(form)


def STOP(_):
    """Ends a pickle; `load` does it."""


OPERATIONS = {ord(code): operation for code, operation in {
    ".": STOP, "(": constant(MARK), "0": lambda reader: reader.stack.pop(), "1": Reader.pop_to_mark,
    "2": lambda reader: reader.push(reader.top()),
    "\x80": lambda reader: reader.take(1), "\x95": lambda reader: reader.take(8),
    # Numbers and text
    "N": constant(None), "\x88": constant(True), "\x89": constant(False),
    "I": line_of(integer), "L": line_of(lambda text: integer(text.rstrip("L"))), "F": line_of(float),
    "J": number("<i"), "K": number("<B"), "M": number("<H"), "G": number(">d"),
    "\x8a": long_integer("<B"), "\x8b": long_integer("<i"),
    "X": counted("<I", text_of), "\x8c": counted("<B", text_of), "\x8d": counted("<Q", text_of),
    "V": line_of(lambda text: text.encode("latin-1", "replace").decode("raw_unicode_escape")),
    "S": line_of(opaque("bytes")), "T": counted("<i", lambda part: part.decode("latin-1")),
    "U": counted("<B", lambda part: part.decode("latin-1")),
    "B": counted("<I", opaque("bytes")), "C": counted("<B", opaque("bytes")), "\x8e": counted("<Q", opaque("bytes")),
    "\x96": counted("<Q", opaque("bytearray")),
    # Containers
    ")": constant(()), "t": marked(tuple), "\x85": last(1), "\x86": last(2), "\x87": last(3),
    "]": new(list), "l": marked(list), "a": append, "e": appends,
    "}": new(Dictionary), "d": dictionary, "s": set_item, "u": set_items,
    "\x8f": new(opaque("set")), "\x90": appends, "\x91": marked(opaque("frozenset")),
    # Memo
    "p": put(lambda reader: int(reader.line())), "q": put(by("<B")), "r": put(by("<I")),
    "\x94": put(lambda reader: len(reader.memo)),
    "g": get(lambda reader: int(reader.line())), "h": get(by("<B")), "j": get(by("<I")),
    # Objects
    "c": named, "\x93": named_on_stack, "R": reduce, "\x81": reduce, "\x92": new_object_with_keywords,
    "i": instance, "o": object_of_class, "b": build, "Q": persistent,
    "P": refused("has an unknown persistent object"),
    **{code: refused("names objects by numbers of a registry") for code in "\x82\x83\x84"},
    **{code: refused("expects buffers beside it") for code in "\x97\x98"},
}.items()}
