"""Signals become a flag; the handlers of before come back."""

import os
import signal
import threading

import pytest

from mtjax.train.signals import EXIT_STOPPED, stop_requested


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_raises_the_flag_and_nothing_else(number):
    before = signal.getsignal(number)
    with stop_requested() as stopping:
        assert not stopping()
        os.kill(os.getpid(), number)
        assert stopping()
        os.kill(os.getpid(), signal.SIGTERM)  # a second one is no news
        assert stopping()
    assert signal.getsignal(number) is before


def test_a_second_interrupt_interrupts():
    before = signal.getsignal(signal.SIGINT)  # a shell starts what runs in the background with it ignored
    with pytest.raises(KeyboardInterrupt), stop_requested():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_in_another_thread_the_flag_stays_down():
    seen = []

    def work():
        with stop_requested() as stopping:
            seen.append(stopping())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]


def test_the_exit_code_is_the_documented_one():
    assert EXIT_STOPPED == os.EX_TEMPFAIL == 75
