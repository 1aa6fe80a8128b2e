# The types of turn.py for Cython.

cdef class Turn:
    cdef public object loop
    cdef public Py_ssize_t number
    cdef public bint due
    cdef public list dirty
    cdef object _call_soon

    cpdef arm(self)
