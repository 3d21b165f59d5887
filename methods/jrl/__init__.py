"""JRL: joint representation learning."""

from cmbench.methods.jrl.method import JRL
from cmbench.methods.jrl.release import JRLRelease

__all__ = ["JRL", "JRLRelease"]
