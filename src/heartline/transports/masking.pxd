# The types of masking.py for Cython.
cimport cython

cdef bint _COMPILED
cdef int _MASKED
cdef list _SHORT
cdef Py_ssize_t _TABLE_XOR_FROM
cdef Py_ssize_t _KEYS_AT_ONCE

@cython.locals(
    size=Py_ssize_t, head=bytes, wire=bytes, at=Py_ssize_t, i=Py_ssize_t,
    out="unsigned char *", four="const unsigned char *",
)
cpdef bytes masked_frame(int opcode, bytes payload, bytes key)

cdef class KeyPool:
    cdef bytes _keys
    cdef Py_ssize_t _at

    @cython.locals(at=Py_ssize_t, keys="const unsigned char *")
    cpdef bytes take(self)
