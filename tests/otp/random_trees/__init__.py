"""Random supervision trees and faults: what they are made of, how they run, what the rules say must happen."""
