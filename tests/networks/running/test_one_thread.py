"""One thread at a time, as often as it likes."""

import os
import threading

from autodepth.networks.running.one_thread import one_thread


def entered(within=5.0):
    """Return whether another thread gets in."""
    inside = threading.Event()

    def enter():
        with one_thread:
            inside.set()

    thread = threading.Thread(target=enter, daemon=True)
    thread.start()
    return inside.wait(within), thread


def test_who_is_in_gets_in_again_and_others_wait_until_it_is_out():
    with one_thread, one_thread:
        came, thread = entered(within=0.05)
        assert not came
    thread.join(5)
    assert not thread.is_alive()


def test_it_may_be_put_around_a_function():
    @one_thread
    def busy():
        return entered(within=0.05)

    came, thread = busy()
    assert not came
    thread.join(5)
    assert entered()[0]


def test_a_child_of_a_fork_gets_in():
    with one_thread:  # as its parent may be when it forks
        child = os.fork()
        if not child:
            with one_thread:
                os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
