# The types of link.py for Cython: without them its attributes and calls would be Python's.
cimport picows.picows as picows

from . cimport masking
from . cimport turn as turns

cdef int _TEXT
cdef Py_ssize_t _NEVER

cdef class Link(picows.WSListener):
    # What every write and every read looks at comes first, side by side in memory.
    cdef public bint _slow
    cdef public bint _plain
    cdef public Py_ssize_t _seen
    cdef public turns.Turn _turn
    cdef public object _transport
    cdef public list _joined
    cdef public object _handler
    cdef public Py_ssize_t _joined_bytes
    cdef public object _assembler
    cdef public object _catch_up
    cdef public object _close_timer
    cdef public object _limits
    cdef public object _loop
    cdef public object _received
    cdef public object _sent
    cdef public object _state
    cdef public object _subprotocol
    cdef public object _ws
    cdef public bint congested
    cdef public object peer
    cdef public object request
    cdef public bint wants_linger

    cpdef on_ws_connected(self, picows.WSTransport transport)
    cpdef on_ws_frame(self, picows.WSTransport transport, picows.WSFrame frame)
    cpdef on_ws_disconnected(self, picows.WSTransport transport)
    cpdef pause_writing(self)
    cpdef resume_writing(self)
    cpdef _push(self, bytes wire)
    cpdef flush(self)

cdef class ServerLink(Link):
    cpdef on_ws_connected(self, picows.WSTransport transport)
    cpdef send(self, bytes payload)
    cpdef send_framed(self, bytes wire)

cdef class ClientLink(Link):
    cdef public masking.KeyPool _keys

    cpdef send(self, bytes payload)

cdef _let_rest(picows.WSTransport transport)
