"""Makes another process run one system call, by ptrace: what a hijacked role could try. x86-64, root."""
import ctypes
import os
import struct

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long

PEEKDATA, POKEDATA, SINGLESTEP, ATTACH, DETACH, GETREGS, SETREGS = 2, 5, 9, 16, 17, 12, 13
# struct user_regs_struct
NAMES = ("r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss fs_base gs_base ds es fs "
         "gs").split()
CALLS = {"write": 1, "open": 2, "mmap": 9, "socket": 41, "connect": 42, "clone": 56, "execve": 59, "kill": 62, "ptrace": 101,
         "mkdir": 83, "unlink": 87, "openat": 257, "memfd_create": 319}


def _ptrace(request, pid, address=0, data=0):
    ctypes.set_errno(0)
    result = _libc.ptrace(request, pid, address, data)
    if result == -1 and ctypes.get_errno():
        raise OSError(ctypes.get_errno(), f"ptrace {request}")
    return result


class Process:
    """with Process(pid) as p: p.call("openat", …). The process is stopped meanwhile and goes on as if nothing was."""

    def __init__(self, pid):
        self.pid = pid

    def __enter__(self):
        _ptrace(ATTACH, self.pid)
        os.waitpid(self.pid, 0x40000000)  # __WALL
        self.saved = self._registers()
        return self

    def __exit__(self, *_):
        self._set(self.saved)
        _ptrace(DETACH, self.pid)

    def _registers(self):
        raw = ctypes.create_string_buffer(8 * len(NAMES))
        _ptrace(GETREGS, self.pid, 0, ctypes.addressof(raw))
        return dict(zip(NAMES, struct.unpack(f"={len(NAMES)}Q", raw.raw)))

    def _set(self, registers):
        raw = ctypes.create_string_buffer(struct.pack(f"={len(NAMES)}Q", *(registers[name] for name in NAMES)))
        _ptrace(SETREGS, self.pid, 0, ctypes.addressof(raw))

    def _poke(self, address, data):
        data += b"\0" * (-len(data) % 8)
        for at in range(0, len(data), 8):
            _ptrace(POKEDATA, self.pid, address + at, int.from_bytes(data[at:at + 8], "little"))

    def call(self, name, *arguments):
        """The result as the kernel gives it (-errno). Byte strings are put below the stack and passed by address."""
        registers = dict(self.saved)
        free = (self.saved["rsp"] - 4096) & ~15
        values = []
        for argument in arguments:
            if isinstance(argument, bytes):
                self._poke(free, argument + b"\0")
                values.append(free)
                free += (len(argument) + 16) & ~15
            else:
                values.append(argument & 0xFFFFFFFFFFFFFFFF)
        values += [0] * (6 - len(values))
        for register, value in zip(("rdi", "rsi", "rdx", "r10", "r8", "r9"), values):
            registers[register] = value
        # It was stopped in a system call: the two bytes before the instruction pointer are `syscall`.
        code = _ptrace(PEEKDATA, self.pid, self.saved["rip"] - 2) & 0xFFFF
        assert code == 0x050F, hex(code)
        registers.update(rip=self.saved["rip"] - 2, rax=CALLS[name], orig_rax=0xFFFFFFFFFFFFFFFF)
        self._set(registers)
        _ptrace(SINGLESTEP, self.pid)
        _, status = os.waitpid(self.pid, 0x40000000)
        if os.WIFSIGNALED(status):
            return None  # killed: refused for good
        result = self._registers()["rax"]
        return result - (1 << 64) if result >= 1 << 63 else result


def take_descriptor(pid, fd):
    """A copy of another process's descriptor (pidfd_getfd)."""
    pidfd = os.pidfd_open(pid)
    try:
        result = _libc.syscall(438, pidfd, fd, 0)
        if result < 0:
            raise OSError(ctypes.get_errno(), "pidfd_getfd")
        return result
    finally:
        os.close(pidfd)
