"""What the sections of the page show, as data; their templates are in `report/templates/sections`."""
