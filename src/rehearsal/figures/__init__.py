"""The ground floor: outcomes, lengths and their words, expectations. Imports nothing of ours, types of results excepted.

=============== ====================================================================
``outcome``     the three outcomes, and how many of them become one
``length``      a length between two bounds: its order, its sum, its verdict
``say``         the words of a length, in every text that names one
``expectation`` what a check expected and what it observed, as data
``fewruns``     what few repetitions can say
=============== ====================================================================
"""
