"""Goes round until it is killed: objects, text and threads. After each round
what bifold has live goes into the file that is named."""

import ctypes
import gc
import json
import os
import sys
import threading
import zlib


class Figures(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
        ).split()
    ]


def work(seed):
    rows = [
        {"key": seed * 1000 + k, "text": "x" * (k % 700), "list": list(range(k % 90))}
        for k in range(1500)
    ]
    text = json.dumps(rows)
    packed = zlib.compress(text.encode())
    again = json.loads(zlib.decompress(packed))
    assert again == rows
    bytearray(1 << 20 + seed % 4)


def main(file):
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = Figures
    round = 0
    while True:
        round += 1
        threads = [threading.Thread(target=work, args=(round + k,)) for k in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        child = os.fork()
        if child == 0:
            work(round)
            os._exit(0)
        assert os.waitpid(child, 0) == (child, 0)
        del threads, thread
        gc.collect()
        figures = mallinfo2()
        live = (figures.uordblks + figures.hblkhd) // 1024
        with open(file, "w") as out:
            out.write(f"live_kib {live}\nrounds {round}\n")


main(sys.argv[1])
