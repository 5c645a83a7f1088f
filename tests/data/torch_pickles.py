"""Files of PyTorch for the tests: two real ones, and the instructions of pickles by hand."""

import base64
import struct
import zlib

import numpy as np
import pytest

from neuralop_jax.data import read_torch
from neuralop_jax.errors import DataError

# Written by torch.save of PyTorch 2.13.0, then compressed. With n = arange(24).reshape(2, 3, 4), both stored column-major:
# {"x": n % 3 == 0, "y": n.double() / 8}
DATA = """
eNqdld9r01AUx2+SNs2i88d+MWE4ZA924Lokbdp1qBthBCEPdhVh+BL6I1uDWbOb3s5NGAgiY/jiX+Cj/4I+zidf3Yv44IM4HxQFRUSHiJib3tYk7bq6C8nJ
Se75nk/vPfc0pzERADgOtI1h0A+WzQ1Udwy9XECFaXxLrN22VKUP3GqOe/QWBPElyg3YgFQJ2U6pktDryLRqvO4YxbpplXVkVGu2o69LPKTj8aWYO7nmziys
GJBphPCKbVs3Gu94GPH0BBhdYlxbWqtDVhtFMLaoAY3WGC2yDTmNch/Zbdi3UyrZlmWUkGlXa/x1p2w4RnnBLCEe8pN5eALBk3nY7yluwlMVF6DSTLpg14uW
0Up72pskwjMVL91ZX7qBZrrBnQpWHUJwOA9H6omcFuMWn+xnAA51r9yh6zkG0sH1TCzbzmoB6euGU3PZVUX6t6w9DxEDPP3y5j7J3wVgHEghALIJesEyV6qr
RhWpSuI/GdIpDDB3B36k3RR0V4ARMBsEKG4iw8YbpirpY/x2PCwTIcvADA+u7J9j3SxsV4ZBkG2v6mlBVeTjAVBUUxk/NS9MEOOuHTz8Oeo+jx5BdLEDkagq
E70QBbUO5hr2LbFgvmG+Ej9C/F3i/yL2PbEU+f6N+FHivyT+b2I/EEuT79+JzxL/NfH/EPuZWIZ8/0H82DxeJ+HCi61dTNV1nYbA1eA6tc7N7DFrB48kjwn2
Hq/cPLp+J8BU6AB595rhmO4JulvAHUg3y6oy2TuQIKdFUZiRpWRazKYzgixlU2IqJWdmMsmUkJbkrJzMSkIWU15+Jz2Puxxxj5LCsC1Ofw8abiPv2MfDEv4u
MhYIz1Gga+sKK/nbwXhAaa9Nqa0HhcX853okIJanwSH9JKzhP4mDAY1XNOjUD8IC/hINClSYTgJiWMBfYUMBgUcR0LGuwwr+3Z8IKAxEQS91mdNY9hIJOc9M
tcK5kE3SDfssSnZfY/E/NvgUI03CexdlGzGcN78x9y8c+cQr
"""
# With base = arange(12, dtype=bfloat16).reshape(3, 4) and model = Linear(2, 1): {"model": model.state_dict(), "weight": model.weight,
# "views": [base, base[1:, ::2], base.T], "short": tensor([1, 65535]).to(uint16), "step": 7}
STATE = """
eNqdVc9v40QUnjhpkpouLEt/pECXspRd79KmsZM4SWG3iVkMyAe6QRVRJRS5yWxt4fx49qRlkSpVQg1wREJwQ5w4IO0ZONE/gAtn0ILEBU78A0jLjJ3NOk7S
lI7kjJO8933fe/Pemy0tHEEoHkdDax7NoLvmh6Rj46pDdILX6zrRk+0PLFWJo53eOuIOAQmVKerQaNWxBaFarWVZuEbMVtPh37Hr2Mb122aN8MBdL0NYqESp
7QE29wwCkRpp2TUjWe0Q03L4qo13O6ZVrxLcdFp2dV/iYUoQKjHq4VBLfQ9D1HPhVaulk3e9H3mIVULUJgXxSpjutXYHpjWOAH9HQ1pI47rwhMZpoS7MfGYw
FRcIPFmGpyo0dLRr6g5cNCiPETU8HBGeNqa1EIFLrv8xPMM+Zj3fOQLzZVjoHEKiMk2Nqw1MdJYaWHT/f7bCsgfPHcLzrvB9bDs0F7CkhRzH2TXGxdzWbZ1C
YZuHy4/UGHHDjeOFfhzLXhwvelquEHipDCuful9e/gSuluGaexb7Jj5wQHgfrgseVi9rips2Ue4n7oYbsASvUKIZAquMKKxFurCmRRhR0iNaJ5Aqg9jTdcPo
mUt3qBXHdKXZSxcynnmWgFyGXNA8z9AjWrgLBRoNJdnwzF8l8FoZbmJXumO0bAK3JlRGmofNx3Ele9XBbzfJvTau98MruuGloUQFRAgoTAB3DK+z87ztkb/R
S03HbNLE8KASeLMMb7m14RDchre1WCe5pcXii0uNH//iEGLP1ti+WUIXAn2TvNuyGzqp9ipBVab77bMjMuDv//ntY6aTPeOBl5EYBO6FXdUtc6/ZwE2iKmuP
sc+y5AwTsHkAf9OgEHeqgAVUCAjYvUdwi7W4qmT/H++jZZmEWJhpOL755yIbDdFTNcyi/IiptJ5Slcy5BCB0sklhT5iCjdXff2aU8QkK5FEKRFWR0Hn4j24x
7n93vv2VVVxkAvfGKG5JVeTzpZ/xb6JisXhU/KZ4UvyjiEoXS8ulVIlp0r5KvJegrIkJmq6O0pRWlStn0BRCDx8yru53D65Njn9uqAL7PXXO+kvzjP2Xr/e2
J9f/CloNNqAbqoNtk3bgRzq786pmXVWEM4sRU7lcXpZyUiFXKOSzGVGWsmIqk8um07lUviDn5HxKTmclpnL7/oOiQHUIrsoQE9vX6Z9N80PKR9/jQQz/GFoa
8M+H0ekzLQjlHyjLA1CfD0MNTbEgmn80LAygXYqgcSMpCOLv7tkBkC8jaORMCSL4e3QQITE1EkEMIvg7ahDhi9EIUhDB3yeDCEJ0JEI6iOCv9blBDUMIY07X
X4grg+cRQ2dqkS0tGl3t+VwOr/X9+cD+E+ftP8S8nfq5bwc9A+/GnIp6Prxr79n+BzSAkp8=
"""


def unpacked(fixture):
    return zlib.decompress(base64.b64decode(fixture))


def text(value):
    """BINUNICODE."""
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def integer(value):
    """BININT where it fits, else LONG1 of eight bytes."""
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    return b"\x8a\x08" + struct.pack("<q", value)


def integers(values):
    return b"(" + b"".join(map(integer, values)) + b"t"


ORDERED_DICT = b"ccollections\nOrderedDict\n)R"


def tensor(kind, key, numbers, offset, shape, strides, hooks=ORDERED_DICT, rest=b""):
    """The call by which PyTorch describes a tensor."""
    storage = b"(" + text("storage") + b"ctorch\n" + kind.encode() + b"\n" + text(key) + text("cpu") + integer(numbers) + b"tQ"
    place = integer(offset) + integers(shape) + integers(strides)
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + place + b"\x89" + hooks + rest + b"tR"


def float32(*place, **more):
    return tensor("FloatStorage", "0", *place, **more)


def dictionary(items):
    return b"}(" + b"".join(text(name) + value for name, value in items.items()) + b"u"


FLOATS = np.arange(24, dtype=np.float32)
ONE = float32(24, 0, (24,), (1,))
PARAMETER = b"ctorch._utils\n_rebuild_parameter\n("


def refused(path, match):
    with pytest.raises(DataError, match=match) as error:
        read_torch(path)
    assert "\n" not in str(error.value)
