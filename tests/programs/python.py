"""Objects, strings, JSON and regular expressions, SCALE times over."""

import json
import re
import sys
import zlib


class Node:
    def __init__(self, key):
        self.key, self.left, self.right = key, None, None


def insert(root, key):
    while True:
        side = "left" if key < root.key else "right"
        child = getattr(root, side)
        if child is None:
            setattr(root, side, Node(key))
            return
        root = child


def in_order(root):
    stack = []
    while stack or root:
        while root:
            stack.append(root)
            root = root.left
        root = stack.pop()
        yield root.key
        root = root.right


def main(scale):
    state = 12345
    total = 0
    for turn in range(scale):
        words = []
        for _ in range(20000):
            state = (state * 1103515245 + 12345) % 2**31
            words.append("%x-%s" % (state, "ab" * (state % 17)))
        counts = {}
        for word in words:
            counts.setdefault(word[-6:], []).append(len(word))
        records = [{"id": i, "word": w, "tags": w.split("a")}
                   for i, w in enumerate(words[:5000])]
        text = json.dumps(records)
        assert json.loads(text) == records
        found = re.findall(r"[0-9]+-(?:ab)+", text)
        root = Node(words[0])
        for word in words[1:4000]:
            insert(root, word)
        joined = "".join(sorted(found)) + "".join(in_order(root))
        total = zlib.crc32(joined.encode(), total)
        print(turn, len(counts), len(text), len(found), total)


main(int(sys.argv[1]))
