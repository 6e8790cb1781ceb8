"""The ground floor: outcomes, lengths and their words, expectations. Imports nothing of ours, types of results excepted.

=============== ====================================================================
``outcome``     the three outcomes, and how many of them become one
``length``      which of many lengths is the worst
``say``         the words of a length, in every text that names one
``expectation`` what a check expected and what it observed, as data
``fewruns``     what few repetitions can say
=============== ====================================================================
"""
