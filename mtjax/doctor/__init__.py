"""What this machine is, whether what a run relies on works here, and what to do where it does not.

`machine` says what is there, `probes` try it out; `doctor_command` is `mtjax doctor`.
"""

from mtjax.doctor.command import doctor_command, examine
from mtjax.doctor.finding import Finding

__all__ = ["Finding", "doctor_command", "examine"]
